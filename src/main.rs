//! The `tripline` binary.

use clap::Parser;
use std::process::ExitCode;
use tripline::cli::args::{Cli, run};
use tripline::cli::exit::Exit;
use tripline::cli::output::{ended, record_written};

fn main() -> ExitCode {
    // Points at which a test lets the process end, named by the variable FAILPOINTS.
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    // One provider of cryptography for all of TLS. Only a second call would fail.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    match Cli::try_parse() {
        Ok(cli) => ended(run(cli)).into(),
        Err(error) => {
            // Help and version are no mistakes; where standard error is gone no one can be reported.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Good };
            let printed = error.print();
            if !error.use_stderr() {
                record_written(printed);
            }
            ended(exit).into()
        }
    }
}
