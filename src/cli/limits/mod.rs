//! `tripline limits`: limits from the history of the credentials that they are to hold for.

pub mod history;
pub mod suggest;
pub mod suggestion;
