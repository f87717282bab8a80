//! The two operators of a command that takes two: each types the own password, at the terminal or one line after the other from a pipe,
//! never as an argument, where everybody on the machine would read it.

use anyhow::{Context as _, Result};
use kiban_service::OperatorProof;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use zeroize::Zeroizing;

/// Asks each of them for password and code.
pub fn ask(approvers: &[String]) -> Result<Vec<OperatorProof>> {
    let each = approvers.iter().map(|approver| {
        let password = secret(&format!("{approver} のパスワード"))?;
        let code = secret(&format!(
            "{approver} の認証アプリの数字か回復コード（メール・パスキーの方は回復コード。第二要素がなければ空のまま）"
        ))?;
        Ok(OperatorProof { password, code })
    });
    each.collect()
}

/// One line, not shown while it is typed.
fn secret(what: &str) -> Result<Zeroizing<String>> {
    let stdin = std::io::stdin();
    let before = stdin.is_terminal().then(|| tcgetattr(&stdin)).transpose()?;
    if let Some(before) = &before {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
        eprint!("{what}: ");
        std::io::stderr().flush()?;
    }
    let mut line = Zeroizing::new(String::with_capacity(1024));
    let read = stdin.lock().read_line(&mut line);
    if let Some(before) = &before {
        tcsetattr(&stdin, OptionalActions::Flush, before)?;
        eprintln!();
    }
    read.with_context(|| format!("{what}を読めません"))?;
    let kept = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(kept);
    Ok(line)
}
