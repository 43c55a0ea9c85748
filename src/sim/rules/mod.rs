//! Simple rules as users write them themselves, to compare tripline with: each sees nothing but how
//! many requests a key made.
//!
//! A rule gives each second in which a key was used a score; "alarm above k" is then a threshold on it.
//! So one pass over the traffic serves every k, and k is chosen afterwards: by [`rises`], such that a
//! rule makes no more false alarms than tripline did.

pub mod comparison;
pub mod counts;
pub mod ewma;
pub mod peak_ratio;
pub mod rises;
pub mod rule_set;
pub mod rule_trial;
pub mod spot;
pub mod z_score;
