//! The printer: decided once from plain values, then handed to everybody who has something to say.
//!
//! Promises: stdout carries the answer and nothing else; with `--json` it carries one document with
//! `"schema": 1` first, errors included; stderr is talk, and `-q` leaves only warnings and errors.

use std::fmt::Display;
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::{Map, Value};

use super::checklist::Checklist;
use super::error_text;
use super::streams::{OutputFailure, RawStream, Sink, Streams};
use super::style::{ColorChoice, Styles, Tone};
use super::table::{Table, TableLayout};
use super::target_line::TargetLine;
use super::target_options::TargetOptions;
use super::wrap::wrap;
use crate::error::{Error, ErrorKind};
use crate::sync::lock;
use crate::text::escape::{escape_json, escape_lines};
use crate::ui::bars::Bars;

/// Options of the printer, from the command line, the environment and the terminal.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag or a fact of its own")]
pub(crate) struct UiOptions {
    /// `--color`.
    pub(crate) color: ColorChoice,
    /// `NO_COLOR` is set and not empty.
    pub(crate) no_color_env: bool,
    /// `TERM` is `dumb`: no colours, no moving lines.
    pub(crate) dumb_terminal: bool,
    /// `--json`.
    pub(crate) json: bool,
    /// `-q`.
    pub(crate) quiet: bool,
    /// Number of times `-v` was given.
    pub(crate) verbose: u8,
    /// Progress is wanted (not `--no-progress`).
    pub(crate) progress: bool,
    pub(crate) stdin_is_terminal: bool,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    /// Columns of the terminal; `None` or 0 where unknown, which counts as 80.
    pub(crate) width: Option<u16>,
}

/// The printer. Clones share their streams.
#[derive(Clone)]
pub(crate) struct Ui {
    shared: Arc<SharedPrinter>,
    /// Whom the talk is about, where several are worked on at a time; else empty.
    pub(super) name: Arc<str>,
    /// Target options that hints get; known in part from the start, wholly once the target is found.
    target_options: Arc<Mutex<TargetOptions>>,
}

struct SharedPrinter {
    options: UiOptions,
    out: Sink,
    err: Sink,
    input: Mutex<Box<dyn BufRead + Send>>,
    bars: Bars,
    /// stdout carries bytes of a stream; documents would be mixed into them.
    out_is_a_stream: AtomicBool,
}

impl Ui {
    /// A printer on the process's own streams.
    pub(crate) fn new(options: UiOptions) -> Self {
        Self::with_streams(options, Streams::standard())
    }

    /// A printer on any streams.
    pub(crate) fn with_streams(options: UiOptions, streams: Streams) -> Self {
        let err = Sink::new(streams.err);
        let moving = options.progress
            && options.stderr_is_terminal
            && !options.dumb_terminal
            && !options.quiet
            && !options.json;
        let bars = Bars::new(moving.then(|| (err.clone(), columns_of(&options))));
        Self {
            shared: Arc::new(SharedPrinter {
                out: Sink::new(streams.out),
                err,
                input: Mutex::new(streams.input),
                bars,
                out_is_a_stream: AtomicBool::new(false),
                options,
            }),
            name: "".into(),
            target_options: Arc::default(),
        }
    }

    /// Sets the target options that commands in hints get from now on.
    pub(crate) fn set_target_options(&self, options: TargetOptions) {
        *lock(&self.target_options) = options;
    }

    /// Target options that commands in hints get.
    pub(crate) fn target_options(&self) -> TargetOptions {
        lock(&self.target_options).clone()
    }

    /// Returns a text with this run's target options in each command that stands in backticks in it.
    pub(crate) fn complete(&self, text: &str) -> String {
        self.target_options().complete(text)
    }

    /// Returns the printer for one stack of a multi-stack operation.
    ///
    /// Messages and progress bear the stack's name. There is no target line, since the plan's table names all targets.
    #[must_use]
    pub(crate) fn of_stack(&self, name: &str) -> Self {
        let target_options = Arc::new(Mutex::new(self.target_options()));
        Self { shared: Arc::clone(&self.shared), name: name.into(), target_options }
    }

    /// Options of this printer.
    pub(crate) fn options(&self) -> &UiOptions {
        &self.shared.options
    }

    /// Reports whether `--json` was given.
    pub(crate) fn is_json(&self) -> bool {
        self.options().json
    }

    /// Columns of the terminal, 80 where unknown.
    pub(crate) fn width(&self) -> usize {
        columns_of(self.options())
    }

    /// The styles of stdout.
    pub(crate) fn out_styles(&self) -> Styles {
        let options = self.options();
        let able = options.stdout_is_terminal && !options.dumb_terminal;
        Styles::decide(options.color, options.no_color_env, able)
    }

    /// The styles of stderr.
    pub(crate) fn err_styles(&self) -> Styles {
        let options = self.options();
        let able = options.stderr_is_terminal && !options.dumb_terminal;
        Styles::decide(options.color, options.no_color_env, able)
    }

    /// Writes a text answer to stdout, and ends its last line. Foreign parts must be escaped already
    /// (`escape`): an answer may carry styles.
    pub(crate) fn answer(&self, text: &str) {
        self.shared.bars.end_all();
        self.write_out(text);
    }

    /// Writes a plan as the answer: escaped, and on a terminal broken at its words.
    pub(crate) fn answer_plan(&self, plan: &dyn Display) {
        self.answer(&self.folded(&escape_lines(&self.complete(&plan.to_string()))));
    }

    /// Escaped text as it would be written to stdout: on a terminal broken at its words.
    pub(crate) fn folded(&self, text: &str) -> String {
        let width = self.options().stdout_is_terminal.then(|| self.width());
        wrap("", 0, text, 0, width)
    }

    /// A checklist as it would be written to stdout.
    pub(crate) fn checked(&self, list: &Checklist) -> String {
        let width = self.options().stdout_is_terminal.then(|| self.width());
        list.render(width, self.out_styles())
    }

    /// A table as it would be written to stdout.
    pub(crate) fn render(&self, table: &Table) -> String {
        let width = self.options().stdout_is_terminal.then(|| self.width());
        table.render(TableLayout { width, styles: self.out_styles() })
    }

    /// Writes a document to stdout: `"schema": 1` first, then the value's fields; a value that is no
    /// object stands in `items`. Indented for a terminal, else on one line.
    pub(crate) fn json(&self, value: &impl Serialize) {
        self.shared.bars.end_all();
        self.write_document(document(value));
    }

    /// Returns the document of [`Ui::json`] on one line.
    pub(crate) fn document_text(value: &impl Serialize) -> String {
        escape_json(&Value::Object(document(value)).to_string())
    }

    /// Returns the document of an error on one line.
    pub(crate) fn error_document_text(&self, error: &Error) -> String {
        Self::document_text(&error_text::json(error, &self.target_options()))
    }

    /// The answer in the form that was asked for.
    pub(crate) fn show(&self, value: &impl Serialize, text: impl FnOnce(&Self) -> String) {
        if self.is_json() { self.json(value) } else { self.answer(&text(self)) }
    }

    /// stdout for bytes that are passed on untouched. From now on JSON goes to stderr.
    pub(crate) fn raw_stdout(&self) -> RawStream {
        self.shared.out_is_a_stream.store(true, Ordering::Relaxed);
        RawStream::new(self.shared.out.clone())
    }

    /// stderr for bytes that are passed on untouched.
    pub(crate) fn raw_stderr(&self) -> RawStream {
        RawStream::new(self.shared.err.clone())
    }

    /// Says something on stderr; nothing under `-q`. The text is escaped here.
    pub(crate) fn say(&self, text: &str) {
        if !self.options().quiet {
            self.write_err(&wrap(
                "",
                0,
                &escape_lines(&self.named(&self.complete(text))),
                2,
                self.talk_width(),
            ));
        }
    }

    /// Reports whether details are said: with `-v`, and not with `-q`.
    pub(crate) fn tells_details(&self) -> bool {
        self.options().verbose > 0 && !self.options().quiet
    }

    /// Says a detail, with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        if self.tells_details() {
            let shown = wrap("", 0, &escape_lines(&self.named(&self.complete(text))), 2, self.talk_width());
            self.write_err(&self.err_styles().paint(Tone::Faint, shown.trim_end()));
        }
    }

    /// Warns, also under `-q`. The text is escaped here.
    pub(crate) fn warn(&self, text: &str) {
        let lead = format!("{} ", self.err_styles().paint(Tone::Warn, "warning:"));
        self.write_err(&wrap(
            &lead,
            9,
            &escape_lines(&self.named(&self.complete(text))),
            9,
            self.talk_width(),
        ));
    }

    fn named(&self, text: &str) -> String {
        if self.name.is_empty() { text.to_owned() } else { format!("{}: {text}", self.name) }
    }

    /// Prints the target line on stderr; nothing under `-q` and for one of several.
    pub(crate) fn target(&self, line: &TargetLine) {
        if !self.options().quiet && self.name.is_empty() {
            self.write_err(&line.render(self.err_styles(), self.talk_width()));
        }
    }

    /// Reports an error: `error: message: cause` and its hints on stderr, or with `--json` a document
    /// on stdout. A child's own exit code is passed on without a word.
    pub(crate) fn error(&self, error: &Error) {
        self.report(error, false);
    }

    /// Reports an error like [`Ui::error`], with its class, for `shell`, `exec` and `psql`.
    /// The exit code 125 of these commands does not tell the class.
    pub(crate) fn error_beside_a_child(&self, error: &Error) {
        self.report(error, true);
    }

    fn report(&self, error: &Error, name_the_kind: bool) {
        if matches!(error.kind(), ErrorKind::Child(_)) {
            return;
        }
        self.shared.bars.end_all();
        if self.is_json() {
            self.write_document(document(&error_text::json(error, &self.target_options())));
        } else {
            let options = self.target_options();
            let text =
                error_text::human(error, &options, self.err_styles(), self.talk_width(), name_the_kind);
            self.write_err(&text);
        }
    }

    pub(crate) fn bars(&self) -> &Bars {
        &self.shared.bars
    }

    /// Takes every progress line away: before a shell, an answer, a question. Of several stacks none takes
    /// away those of the others; its own goes with its [`ProgressReporter`].
    pub(crate) fn end_progress(&self) {
        if self.name.is_empty() {
            self.shared.bars.end_all();
        }
    }

    /// Reports whether the reader of stdout went away. The process then ends quietly, as with SIGPIPE.
    pub(crate) fn broken_pipe(&self) -> bool {
        self.output_failure() == Some(OutputFailure::BrokenPipe)
    }

    /// Returns the failure to write stdout, if there was one. A command whose answer is lost has failed.
    pub(crate) fn output_failure(&self) -> Option<OutputFailure> {
        self.shared.out.failure()
    }

    /// Reports whether the user can be asked: stdin and stderr are both terminals.
    pub(crate) fn can_ask(&self) -> bool {
        self.options().stdin_is_terminal && self.options().stderr_is_terminal
    }

    /// Asks on stderr and reads one line, without its line end. `None` at the end of input.
    pub(crate) fn ask(&self, question: &str) -> Option<String> {
        self.shared.bars.end_all();
        let _ = self.shared.err.write(question.as_bytes());
        let mut line = Vec::new();
        let mut input = lock(&self.shared.input);
        let read = std::io::Read::take(&mut **input, 4096).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            // The shell's prompt shall not follow the question.
            let _ = self.shared.err.write(b"\n");
            return None;
        }
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned())
    }

    /// Shows a plan on stderr, every line indented; `-q` hides it unless a question follows.
    pub(crate) fn plan(&self, plan: &dyn Display, asking: bool) {
        if asking || !self.options().quiet {
            self.write_err(&wrap(
                "  ",
                2,
                &escape_lines(&self.complete(&plan.to_string())),
                2,
                self.talk_width(),
            ));
        }
    }

    fn talk_width(&self) -> Option<usize> {
        self.options().stderr_is_terminal.then(|| self.width())
    }

    fn write_document(&self, document: Map<String, Value>) {
        let document = Value::Object(document);
        let as_stream = self.shared.out_is_a_stream.load(Ordering::Relaxed);
        let text =
            if self.options().stdout_is_terminal { format!("{document:#}") } else { document.to_string() };
        if as_stream { self.write_err(&escape_json(&text)) } else { self.write_out(&escape_json(&text)) }
    }

    fn write_out(&self, text: &str) {
        // Kept by the sink; asked for at the end.
        let _ = self.shared.out.write(ended(text).as_bytes());
    }

    pub(crate) fn write_err(&self, text: &str) {
        // Nobody is left to tell that stderr is gone.
        self.shared.bars.suspend(|| {
            let _ = self.shared.err.write(ended(text).as_bytes());
        });
    }
}

fn columns_of(options: &UiOptions) -> usize {
    options.width.filter(|width| *width > 0).map_or(80, |width| usize::from(width).max(20))
}

fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

fn document(value: &impl Serialize) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("schema".to_owned(), 1.into());
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => {
            document.extend(fields.into_iter().filter(|(key, _)| key != "schema"));
        }
        Ok(other) => {
            document.insert("items".to_owned(), other);
        }
        Err(error) => {
            document.insert("error".to_owned(), error_text::unwritable(&error));
        }
    }
    document
}

#[cfg(test)]
#[path = "printer_tests.rs"]
mod tests;
