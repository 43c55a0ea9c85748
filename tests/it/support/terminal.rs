//! A terminal: a program runs in a pane of tmux, is sent keys, and its screen is read.

use super::until;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a screen is waited for: drawn once a second, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal of this test alone.
#[derive(Debug)]
pub struct Terminal {
    folder: TempDir,
}

impl Terminal {
    /// Runs a command line in a terminal of that many columns and lines, and then says its exit
    /// code there.
    pub fn run(command: &str, columns: u32, lines: u32) -> Self {
        let terminal = Self { folder: tempfile::tempdir().expect("a folder") };
        let modes = |name: &str| format!("stty -g >{}", terminal.path(name).display());
        let script = format!(
            "echo what stood before; {}; {command}; echo exit code $?; {}; touch {}; exec sleep 600",
            modes("before"),
            modes("after"),
            terminal.path("ended").display()
        );
        let (columns, lines) = (columns.to_string(), lines.to_string());
        terminal.tmux(&["new-session", "-d", "-s", "t", "-x", &columns, "-y", &lines, &script]);
        terminal
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(self.path("tmux.sock")).args(arguments);
        command.env_remove("TMUX").env_remove("NO_COLOR").env("SHELL", "/bin/sh");
        let done = command.output().expect("tmux runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "tmux {arguments:?}: {said}");
        String::from_utf8(done.stdout).expect("text")
    }

    /// Sends keys by tmux's names of them.
    pub fn press(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys", "-t", "t"];
        arguments.extend(keys);
        self.tmux(&arguments);
    }

    /// Types a text.
    pub fn write(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "t", "-l", text]);
    }

    /// Gives it another size.
    pub fn resize(&self, columns: u32, lines: u32) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-t", "t", "-x", &columns, "-y", &lines]);
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "t"])
    }

    /// Waits until all of these are on the screen; gives it.
    pub fn shows(&self, texts: &[&str]) -> String {
        self.becomes(&format!("{texts:?} on the screen"), |screen| {
            texts.iter().all(|text| screen.contains(text))
        })
    }

    /// Waits until the screen is as it should be; gives it.
    pub fn becomes(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = std::time::Instant::now();
        until(what, PATIENCE + Duration::from_secs(1), || {
            let screen = self.screen();
            let late = begun.elapsed() > PATIENCE;
            assert!(is_so(&screen) || !late, "waited in vain for {what}:\n{screen}");
            is_so(&screen).then_some(screen)
        })
    }

    /// Waits for the end of the program; gives the screen, once the terminal is as it was before.
    pub fn is_given_back(&self) -> String {
        until("the program ends", PATIENCE, || self.path("ended").exists().then_some(()));
        let screen = self.shows(&["what stood before", "exit code"]);
        let read = |name: &str| std::fs::read_to_string(self.path(name)).expect("modes");
        assert_eq!(read("before"), read("after"), "the modes of the terminal differ");
        let flags =
            self.tmux(&["display-message", "-p", "-t", "t", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1", "no second screen is on, and the cursor is seen");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The server of this socket alone. It may have ended by itself.
        let mut command = Command::new("tmux");
        let _ended = command.arg("-S").arg(self.path("tmux.sock")).arg("kill-server").output();
    }
}
