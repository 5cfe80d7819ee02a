//! Asks a person at the terminal, and shows the plans that are asked about.

use std::fmt::Display;

use super::printer::Ui;
use super::style::Tone;
use crate::consent::Ask;

impl Ask for Ui {
    fn can_ask(&self) -> bool {
        Self::can_ask(self)
    }

    fn is_json(&self) -> bool {
        Self::is_json(self)
    }

    fn show_plan(&self, plan: &dyn Display, asked: bool) {
        self.plan(plan, asked);
    }

    fn answer_plan(&self, plan: &dyn Display) {
        Self::answer_plan(self, plan);
    }

    fn ask(&self, question: &str) -> Option<String> {
        Self::ask(self, question)
    }

    fn say(&self, text: &str) {
        Self::say(self, text);
    }

    fn warn(&self, text: &str) {
        Self::warn(self, text);
    }

    fn painted_as_prod(&self, text: &str) -> String {
        self.err_styles().paint(Tone::Prod, text)
    }
}
