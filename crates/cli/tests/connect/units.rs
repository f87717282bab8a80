//! The unit files: systemd takes every line of them, and what they start is something `kiban` knows (docs/municipality.md 6.1).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSTALLED: &str = "/usr/local/bin/kiban";
const OWN: &str = env!("CARGO_BIN_EXE_kiban");

fn units() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    let read = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
    };
    std::fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap().path())).collect()
}

#[test]
fn systemd_takes_every_line_of_the_unit_files() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "continuous integration must not skip it: systemd-analyze is missing"
        );
        println!("skipped: systemd-analyze is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let units = units();
    assert!(units.len() >= 4, "{:?}", units.keys());
    for (name, text) in &units {
        // The program lies elsewhere here.
        std::fs::write(folder.path().join(name), text.replace(INSTALLED, OWN)).unwrap();
    }
    for name in units.keys() {
        let mut verify = Command::new("systemd-analyze");
        let found = verify.args(["verify", "--man=no"]).arg(folder.path().join(name)).output().unwrap();
        let words = String::from_utf8_lossy(&found.stderr).into_owned();
        // A line it does not know is only told; of other units of the machine nothing is judged here.
        let own: Vec<&str> = words.lines().filter(|line| units.keys().any(|unit| line.contains(unit))).collect();
        assert!(found.status.success() && own.is_empty(), "{name}: {words}");
    }
}

#[test]
fn the_units_of_the_connector_start_what_it_knows_with_the_rights_that_are_described() {
    let units = units();
    for (name, command) in [("kiban-connect.service", "service"), ("kiban-connect-once.service", "once")] {
        let lines: Vec<&str> = units[name].lines().collect();
        for line in [
            "User=kiban-connect",
            "Group=kiban-connect",
            "UMask=0007",
            "ProtectSystem=strict",
            "ReadWritePaths=/var/lib/kiban-connect",
            "ReadWritePaths=-/var/lib/kiban-connect-keys",
        ] {
            assert!(lines.contains(&line), "{line} in {name}");
        }
        let start = lines.iter().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let words: Vec<&str> = start.split(' ').collect();
        assert_eq!(words, [INSTALLED, "connect", "--config", "/etc/kiban/connect.conf", command], "{name}");
        // It understands that, and looks for its settings.
        let folder = tempfile::tempdir().unwrap();
        let started =
            Command::new(OWN).args(&words[1..3]).arg(folder.path().join("none")).arg(command).output().unwrap();
        let said = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(!started.status.success() && said.contains("設定ファイル"), "{name}: {said}");
    }
    // Of `once` a refused row of work is no fault of the unit; what is left over is (docs/municipality.md 6.3).
    let faultless: Vec<&str> = units["kiban-connect-once.service"]
        .lines()
        .filter_map(|line| line.strip_prefix("SuccessExitStatus="))
        .collect();
    assert_eq!(faultless, ["3"]);
    assert!(!units["kiban-connect.service"].contains("SuccessExitStatus"));
    let always: Vec<&String> =
        units.iter().filter(|(_, text)| text.contains("Restart=always")).map(|(n, _)| n).collect();
    assert_eq!(always, ["kiban-connect.service"]);
    // The timer starts the unit of its own name, again and again.
    let timer = &units["kiban-connect-once.timer"];
    assert!(timer.contains("OnUnitInactiveSec=5min") && timer.contains("OnBootSec="), "{timer}");
}
