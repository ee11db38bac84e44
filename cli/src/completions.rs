//! `jangbogo completions`: shell completion scripts.

use clap::Args;
use clap_complete::Shell;

/// Prints a shell's completion script
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "\
Examples:
  source <(jangbogo completions bash)
  jangbogo completions zsh > ~/.zfunc/_jangbogo
  jangbogo completions fish > ~/.config/fish/completions/jangbogo.fish")]
pub struct Arguments {
    /// The shell to complete in
    shell: Shell,
}

pub fn run(arguments: Arguments, command: &mut clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "jangbogo", &mut script);
    crate::output::print(&String::from_utf8(script)?)
}
