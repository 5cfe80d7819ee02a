//! `envctl seed` and `envctl generate` over several stacks: the tool's words are kept, and shown where it failed.

use std::fmt;

use serde::Serialize;

use crate::commands::multi_stack::{ManyArgs, MultiStackVerb, for_each_stack};
use crate::commands::schema_tool::{Call, SchemaTool};
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::consent::{Confirmed, Guard, Plan};
use crate::error::{self, Result};
use crate::multi_stack::schedule::OnFailure;

/// One call of the schema tool, for any stack.
pub(crate) struct ToolVerb {
    /// Name of the verb on the command line.
    pub(crate) name: &'static str,
    /// Description for messages, completed by the stack's name: `seed the database of`.
    pub(crate) action: &'static str,
    /// The tool's words.
    pub(crate) arguments: &'static [&'static str],
}

#[derive(Serialize)]
struct PlannedVerb {
    #[serde(flatten)]
    call: Call,
    #[serde(skip)]
    tool: SchemaTool,
}

impl Plan for PlannedVerb {
    fn guard(&self) -> Guard {
        Guard::Change
    }
}

impl fmt::Display for PlannedVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}

#[derive(Serialize)]
struct ToolOutput {
    /// The last line the tool wrote.
    last_line: String,
}

impl fmt::Display for ToolOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.last_line)
    }
}

/// Runs it over several stacks if several are meant; gives whether they were.
///
/// # Errors
/// Errors of [`for_each_stack`].
pub(crate) async fn over_several(verb: ToolVerb, args: &ManyArgs, ctx: &CommandContext) -> Result<bool> {
    if !args.wanted(&ctx.settings)? {
        return Ok(false);
    }
    let plan = async |stack: StackContext| {
        let tool = SchemaTool::of(verb.name, stack).await?;
        let action = format!("{} {}", verb.action, tool.place());
        let call = tool.call(verb.name, Guard::Change, action, verb.arguments)?;
        Ok(PlannedVerb { call, tool })
    };
    let run = async |stack: StackContext, plan: Confirmed<PlannedVerb>| {
        let PlannedVerb { call, tool } = plan.into_plan();
        let captured = tool.capture(&call, &stack.cancel).await?;
        let text = captured.text();
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        if captured.exit_code == 0 {
            return Ok(ToolOutput { last_line: last.to_owned() });
        }
        Err(error::tool(format!(
            "`{}` in {} ended with {}: {}",
            call.argv.join(" "),
            tool.target.container.name,
            captured.exit_code,
            captured.complaint()
        )))
    };
    let on_failure = OnFailure::Stop;
    let each = MultiStackVerb { name: verb.name, args, on_failure, changes: |_| true };
    for_each_stack(ctx, each, plan, run).await?;
    Ok(true)
}
