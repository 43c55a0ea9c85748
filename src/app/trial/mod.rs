//! Trials: labelled streams from rate traces, and how well the engine does on them.
//!
//! ```text
//!  trace --> flow (+ guise) --> honest requests --+--> partition --> false alarms per key-day
//!                               scenario ---------+--> its copy  --> power, delay, requests let through
//! ```
//! `simulate` writes such a stream and its labels; `backtest` scores a stream that is read with
//! its labels, or makes and scores one in memory, which is far faster.
//!
//! **Does not** tune anything: it measures what the settings at hand do. Same traces, settings and
//! seed give the same figures, whatever the number of threads.

mod attack;
pub mod backtest;
mod control;
pub mod files;
pub mod fleet;
pub mod flow;
pub mod guise;
pub mod interval;
pub mod labels;
pub mod places;
pub mod plot;
pub mod random;
pub mod report;
pub mod runs;
pub mod scenario;
pub mod scene;
pub mod score;
pub mod simulate;
pub mod trace;
