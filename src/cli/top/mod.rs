//! `tripline top`: the daemon on a terminal, live.

pub mod app;
pub mod confirm;
pub mod detail;
pub mod dialog;
pub mod head;
pub mod keymap;
pub mod model;
#[cfg(test)]
pub mod plays;
pub mod poll;
pub mod rates;
pub mod rows;
#[cfg(test)]
pub mod screens;
pub mod snapshot;
pub mod table;
pub mod text;
pub mod theme;
pub mod view;
