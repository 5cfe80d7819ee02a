//! `envctl seed` and `envctl generate` over several stacks: the tool's words are kept, and shown where it failed.

use std::fmt;

use serde::Serialize;

use crate::cancel::CancelToken;
use crate::commands::context::CommandContext;
use crate::commands::multi_stack::{self, ManyArgs};
use crate::commands::schema_tool::{Call, SchemaTool};
use crate::consent::{Confirmed, Guard, Plan};
use crate::environment::Environment;
use crate::error::{self, Result};
use crate::multi_stack::StackOperation;
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

/// Runs it over several stacks if several are meant; gives whether they were.
///
/// # Errors
/// Errors of [`crate::commands::multi_stack::run`].
pub(crate) async fn over_several(verb: ToolVerb, args: &ManyArgs, ctx: &CommandContext) -> Result<bool> {
    if !args.wanted(&ctx.settings)? {
        return Ok(false);
    }
    multi_stack::run(&Called { verb, ctx }, args, ctx, OnFailure::Stop).await?;
    Ok(true)
}

struct Called<'a> {
    verb: ToolVerb,
    ctx: &'a CommandContext,
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

impl StackOperation for Called<'_> {
    type Plan = PlannedVerb;
    type Outcome = ToolOutput;

    fn name(&self) -> &'static str {
        self.verb.name
    }

    async fn plan(&self, environment: &Environment, stop: CancelToken) -> Result<PlannedVerb> {
        let tool = SchemaTool::of(self.verb.name, self.ctx.at(environment, stop)?).await?;
        let action = format!("{} {}", self.verb.action, tool.place());
        let call = tool.call(self.verb.name, Guard::Change, action, self.verb.arguments)?;
        Ok(PlannedVerb { call, tool })
    }

    async fn run(
        &self,
        _environment: &Environment,
        stop: CancelToken,
        plan: Confirmed<PlannedVerb>,
    ) -> Result<ToolOutput> {
        let PlannedVerb { call, tool } = plan.into_plan();
        let captured = tool.capture(&call, &stop).await?;
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
    }
}
