//! Tests of discovery as a whole: containers and wishes in, the chosen environment or the words out.

mod choosing;
mod fixture;
mod grouping;
mod picking;
mod properties;
mod recordings;
