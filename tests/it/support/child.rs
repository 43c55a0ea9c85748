//! A child process that does not outlive its test.

use std::process::{Child, Command, Stdio};

/// A process that is killed when it goes out of scope.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it; its output goes where the test's goes.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}")))
    }

    /// One that was started already.
    pub const fn of(child: Child) -> Self {
        Self(child)
    }

    /// Sends a signal, `TERM` or `STOP` say.
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("kill runs").success(), "kill -{name} {pid}");
    }

    /// Ends it by SIGKILL, from any thread.
    pub fn killer(&self) -> impl FnOnce() + Send + use<> {
        let pid = self.0.id().to_string();
        move || {
            // It may have been killed, and reaped, before.
            let _gone = Command::new("kill").args(["-KILL", &pid]).stderr(Stdio::null()).status();
        }
    }

    /// Waits for its end; gives the exit code, if no signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        self.0.wait().expect("waits").code()
    }

    /// Waits for its end; gives the signal that ended it, if one did.
    pub fn wait_for_signal(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        self.0.wait().expect("waits").signal()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.0.try_wait().expect("asks").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}
