//! What is done before any key is read: this process leaves no memory behind on the disk (decision 0006.24).

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, setrlimit};

/// No core dumps, whatever the system's settings are. On Linux also no debugger and no reading of this process's memory by
/// other processes of the same user.
pub fn keep_memory_private() -> Result<()> {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, nothing).context("コアダンプを止められません")?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context("メモリの保護を設定できません")?;
    Ok(())
}
