//! The invariants of docs/threats.md that need no hand: ledger against store and audit log, both read past the server.

use super::database::{Database, Texts};
use super::home::Home;
use super::ledger::{Exchange, What, sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a check saw. The last two must be zero.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub acknowledged: u64,
    /// The same by what they were.
    pub writes: BTreeMap<What, u64>,
    pub answered_reads: u64,
    pub refusals: u64,
    pub unavailable: u64,
    pub unknown: u64,
    /// Writes asked for again under their key until their outcome was known.
    pub resolved: u64,
    /// Documents read as they were sent.
    pub originals: u64,
    pub lost: Vec<String>,
    pub unaudited: Vec<String>,
    /// Anything else that is not as it must be.
    pub wrong: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        for (what, count) in other.writes {
            *self.writes.entry(what).or_default() += count;
        }
        self.answered_reads += other.answered_reads;
        self.refusals += other.refusals;
        self.unavailable += other.unavailable;
        self.unknown += other.unknown;
        self.resolved += other.resolved;
        self.originals += other.originals;
        self.lost.extend(other.lost);
        self.unaudited.extend(other.unaudited);
        self.wrong.extend(other.wrong);
    }

    /// Every kind of write was tried and acknowledged.
    pub fn require_every_write(&self) {
        let never: Vec<_> = What::WRITES.into_iter().filter(|what| !self.writes.contains_key(what)).collect();
        assert!(never.is_empty(), "never acknowledged: {never:?}; {self}");
        assert!(self.resolved > 0 && self.originals > 0, "nothing asked for again, or nothing compared: {self}");
    }

    /// Stops the test with the first of what is wrong.
    pub fn require_sound(&self) {
        let faults: Vec<_> = self.lost.iter().chain(&self.unaudited).chain(&self.wrong).take(10).collect();
        assert!(faults.is_empty(), "{self}\n{faults:#?}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writes: Vec<String> = self.writes.iter().map(|(what, count)| format!("{what:?} {count}")).collect();
        write!(
            f,
            "acknowledged writes {} ({}) · answered reads {} · refusals {} · unavailable {} · unknown outcomes {} · resolved by their key {} · originals compared {} · lost writes {} · unaudited values {}",
            self.acknowledged,
            writes.join(", "),
            self.answered_reads,
            self.refusals,
            self.unavailable,
            self.unknown,
            self.resolved,
            self.originals,
            self.lost.len(),
            self.unaudited.len()
        )
    }
}

/// What stands in the database.
struct Found {
    /// Action, outcome, natural key, number and organisation by request id, without the numbers of rolled back writes.
    audit: BTreeMap<String, Vec<Texts>>,
    /// State by id.
    submissions: BTreeMap<String, Texts>,
    /// State, rows applied, number and sender by public id.
    receipts: BTreeMap<String, Texts>,
    consents: BTreeSet<String>,
    /// Number and office of live registrations.
    assignments: BTreeSet<(String, String)>,
    /// Records by revision.
    records: BTreeMap<String, u64>,
    /// Records an accepted document becomes, by kind, number and natural key.
    accepted: BTreeMap<Texts, u64>,
    /// Approver and end of disaster modes by id; empty: none.
    modes: BTreeMap<String, Texts>,
    /// People found in searches, by the entries and by the rows.
    looks: (String, String),
    /// Number, organisation and whether hidden of switches.
    switches: BTreeMap<(String, String), bool>,
    /// Revisions in which people and acts of consent stand.
    revisions: BTreeSet<String>,
}

impl Found {
    async fn read(database: &mut Database) -> Self {
        database.enter().await;
        let mut audit: BTreeMap<String, Vec<Texts>> = BTreeMap::new();
        let sql = "SELECT request_id, action, outcome, natural_key, insured_number, organization FROM audit WHERE outcome <> 'void'";
        for row in database.rows(sql).await {
            audit.entry(row[0].clone()).or_default().push(row[1..].to_vec());
        }
        let keyed = |rows: Vec<Texts>| rows.into_iter().map(|row| (row[0].clone(), row)).collect();
        let submissions = keyed(
            database
                .rows("SELECT submission_id, state, kind, sender, insured_number, natural_key FROM submission")
                .await,
        );
        let receipts = keyed(
            database
                .rows("SELECT public_id, state, CAST(rows_applied AS TEXT), CAST(receipt_number AS TEXT) FROM receipt")
                .await,
        );
        let consents = database.rows("SELECT act_id FROM consent_act").await.into_iter().map(|row| row[0].clone());
        let live = "SELECT insured_number, office_number FROM assignment WHERE ended_at IS NULL";
        let assignments = database.rows(live).await.into_iter().map(|row| (row[0].clone(), row[1].clone()));
        let mut records = BTreeMap::new();
        for row in database.rows("SELECT CAST(revision AS TEXT) FROM record").await {
            *records.entry(row[0].clone()).or_insert(0) += 1;
        }
        let mut accepted = BTreeMap::new();
        let sql = "SELECT kind, insured_number, natural_key FROM record WHERE kind IN ('A2', 'F1')";
        for row in database.rows(sql).await {
            *accepted.entry(row).or_insert(0) += 1;
        }
        let sql = "SELECT mode_id, approved_by, CAST(closed_at AS TEXT) FROM disaster_mode";
        let modes = keyed(database.rows(sql).await);
        let one = |rows: Vec<Texts>| rows[0][0].clone();
        let sql = "SELECT CAST(COALESCE(SUM(subjects), 0) AS TEXT) FROM audit
                   WHERE action = 'disaster.search' AND outcome = 'allowed'";
        let subjects = one(database.rows(sql).await);
        let looks = (subjects, one(database.rows("SELECT CAST(COUNT(*) AS TEXT) FROM disaster_look").await));
        let sql = "SELECT insured_number, organization, CAST(hidden AS TEXT) FROM staff_switch";
        let hidden = |text: &str| ["1", "true"].contains(&text);
        let switches = database.rows(sql).await.into_iter();
        let switches = switches.map(|row| ((row[0].clone(), row[1].clone()), hidden(&row[2]))).collect();
        let (consents, assignments) = (consents.collect(), assignments.collect());
        let sql = "SELECT CAST(revision AS TEXT) FROM person UNION SELECT CAST(revision AS TEXT) FROM consent_act";
        let revisions = database.rows(sql).await.into_iter().map(|row| row[0].clone()).collect();
        database.leave().await;
        Self {
            audit,
            submissions,
            receipts,
            consents,
            assignments,
            records,
            accepted,
            modes,
            looks,
            switches,
            revisions,
        }
    }

    fn entries(&self, request_id: &str) -> &[Texts] {
        self.audit.get(request_id).map_or(&[], Vec::as_slice)
    }

    /// Records of the kind, number and key of a document.
    fn records_of(&self, submission: &Texts) -> u64 {
        let key: Texts = [2, 4, 5].map(|column| submission[column].clone()).to_vec();
        self.accepted.get(&key).copied().unwrap_or_default()
    }
}

/// Compares the ledgers with the database. `office_of` gives the office number of a caller.
pub async fn check(database: &mut Database, ledgers: &[Exchange], office_of: impl Fn(&str) -> String) -> Tally {
    let found = Found::read(database).await;
    let mut tally = Tally::default();
    for exchange in ledgers {
        check_exchange(exchange, &found, &mut tally);
    }
    check_registrations(ledgers, &found, &office_of, &mut tally);
    check_switches(ledgers, &found, &office_of, &mut tally);
    check_keys(ledgers, &found, &office_of, &mut tally);
    check_contents(ledgers, &mut tally);
    check_doors(&found, &mut tally);
    tally
}

fn check_exchange(exchange: &Exchange, found: &Found, tally: &mut Tally) {
    let asked = &exchange.asked;
    let Some(answer) = &exchange.answered else {
        tally.unknown += 1;
        return;
    };
    let entries = found.entries(&answer.request_id);
    let place = || format!("{} {} {} → {} {}", asked.caller, asked.n, asked.path, answer.status, answer.request_id);
    if answer.request_id.len() != 32 {
        tally.wrong.push(format!("{}: no request id", place()));
    }
    let outcomes = |wanted: &str| entries.iter().filter(|entry| entry[1] == wanted).count();
    match answer.status {
        200..300 if asked.what.is_write() => {
            tally.acknowledged += 1;
            *tally.writes.entry(asked.what).or_default() += 1;
            if let Some(what) = missing(exchange, entries, found) {
                tally.lost.push(format!("{}: {what}", place()));
            }
        }
        200..300 => {
            tally.answered_reads += 1;
            let right = match asked.what {
                // One for each kind shown and one for name and address.
                What::ReadPage => answer.kinds.is_some_and(|kinds| outcomes("allowed") == kinds + 1),
                // A list of nobody shows nobody's value.
                _ if answer.listed == Some(0) => entries.len() == outcomes("allowed") && entries.len() <= 1,
                _ => entries.len() == 1 && outcomes("allowed") == 1,
            };
            if !right {
                tally.unaudited.push(format!("{}: {entries:?}", place()));
            }
        }
        // No place for it beside others of the same organisation: like 503, nothing of it was looked at.
        429 if answer.code.as_deref() == Some("busy") => tally.unavailable += 1,
        // A right, the state of the document or the form of the request: each refusal has its entry.
        403 | 404 | 409 | 422 | 429 => {
            tally.refusals += 1;
            // Given again under its key it is an answer like any other.
            let before = entries.iter().filter(|entry| entry[0] == "answered_before" && entry[1] == "allowed").count();
            if entries.len() != 1 || outcomes("refused") + before != 1 {
                tally.unaudited.push(format!("{} (refused): {entries:?}", place()));
            }
        }
        503 => {
            tally.unavailable += 1;
            if answer.code.as_deref() == Some("outcome_unknown") {
                tally.unknown += 1;
            }
        }
        _ => tally.wrong.push(format!("{}: {:?}", place(), answer.code)),
    }
    if answer.status >= 400 && !answer.is_problem {
        tally.wrong.push(format!("{}: no problem document", place()));
    }
}

/// What an acknowledged write should have left and did not.
fn missing(exchange: &Exchange, entries: &[Texts], found: &Found) -> Option<String> {
    let answer = exchange.answered.as_ref()?;
    let receipt = answer.receipt.clone().unwrap_or_default();
    // Done before under its key: that it was once, and when, is asked of all entries together.
    if entries.iter().any(|entry| (entry[0].as_str(), entry[1].as_str()) == ("answered_before", "allowed")) {
        return (exchange.asked.what == What::Submit && !found.submissions.contains_key(&receipt))
            .then(|| "no document in the inbox".to_owned());
    }
    let only = |action: &str| {
        let fitting: Vec<_> = entries.iter().filter(|entry| entry[0] == action && entry[1] == "done").collect();
        match fitting[..] {
            [one] => Ok(one[2].clone()),
            _ => Err(format!("{} entries \"{action}\": {entries:?}", fitting.len())),
        }
    };
    let is = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let checked = match exchange.asked.what {
        What::Register => only("register").map(drop),
        What::EndRegistration => only("register.end").map(drop),
        What::Consent => only("consent.record").and_then(|id| {
            is(found.consents.contains(&id), "no act of consent")?;
            is(found.submissions.contains_key(&id), "no notice to the city")
        }),
        What::Submit => only("submit").and_then(|id| {
            is(id == receipt, "the entry names another receipt")?;
            is(found.submissions.contains_key(&receipt), "no document in the inbox")
        }),
        What::Return => only("inbox.return").and_then(|id| {
            is(found.submissions.get(&id).is_some_and(|row| row[1] == "returned"), "the document is not returned")
        }),
        What::Fetch => only("inbox.fetch").and_then(|id| {
            let state = found.submissions.get(&id).map_or("", |row| row[1].as_str());
            is(["fetched", "accepted", "returned"].contains(&state), "the document is not fetched")
        }),
        What::Accept => only("inbox.accept").and_then(|id| {
            let row = found.submissions.get(&id).ok_or("no document in the inbox")?;
            is(row[1] == "accepted", "the document is not accepted")?;
            is(row[2] == "G1" || found.records_of(row) > 0, "no record of the accepted document")
        }),
        What::Plans => match found.receipts.get(&receipt) {
            None => Err("no receipt".to_owned()),
            Some(row) => is(row[1] == "applied", "the receipt is not applied").and_then(|()| {
                // Each set of these tests is one plan of two people.
                let plans = found.records.get(&row[3]).copied().unwrap_or_default();
                is((row[2].as_str(), plans) == ("2", 2), "the plans are not there once each")?;
                let repeated = entries.iter().any(|entry| entry[0] == "import.repeated");
                if repeated { Ok(()) } else { only("import.plans").map(drop) }
            }),
        },
        What::Import => match found.receipts.get(&receipt) {
            None => Err("no receipt".to_owned()),
            // Taken to be worked on behind the answer; whoever serves next goes on with it.
            Some(row) if row[1] == "received" && answer.status == 202 => Ok(()),
            Some(row) => is(row[1] == "applied", "the receipt is not applied").and_then(|()| {
                // Each package of these tests is one person and one card.
                let cards = found.records.get(&row[3]).copied().unwrap_or_default();
                is((row[2].as_str(), cards) == ("2", 1), "the rows are not there once each")?;
                // Behind a 202 it was another request, or nobody's, that applied it; and whoever works on what waits may have been
                // faster than the request that brought it. That it was applied once is asked of all receipts.
                let own = entries.iter().filter(|entry| entry[0] == "import.applied").count();
                is(own <= 1, "one request applied it twice")
            }),
        },
        What::Propose => only("disaster.propose").and_then(|id| {
            is(id == receipt, "the entry names another mode")?;
            is(found.modes.contains_key(&id), "no disaster mode")
        }),
        What::Approve => only("disaster.approve")
            .and_then(|id| is(found.modes.get(&id).is_some_and(|row| !row[1].is_empty()), "the mode is not approved")),
        What::Close => only("disaster.close")
            .and_then(|id| is(found.modes.get(&id).is_some_and(|row| !row[2].is_empty()), "the mode is not closed")),
        What::Switch => only("switch").map(drop),
        What::Read | What::ReadPage | What::ReadOriginal | What::Search => Ok(()),
    };
    checked.err()
}

/// The last registration or end that was acknowledged holds, unless a later one has an unknown outcome.
fn check_registrations(ledgers: &[Exchange], found: &Found, office_of: impl Fn(&str) -> String, tally: &mut Tally) {
    let mut last: BTreeMap<(String, String), Option<bool>> = BTreeMap::new();
    for Exchange { asked, answered } in ledgers {
        let live = match asked.what {
            What::Register => true,
            What::EndRegistration => false,
            _ => continue,
        };
        let key = (asked.about.clone(), office_of(&asked.caller));
        match answered.as_ref().map(|answer| answer.status) {
            Some(200..300) => {
                last.insert(key, Some(live));
            }
            None | Some(503) => {
                last.insert(key, None);
            }
            Some(_) => {}
        }
    }
    for (key, live) in last {
        if live.is_some_and(|live| live != found.assignments.contains(&key)) {
            tally.lost.push(format!(
                "registration of {key:?} should be {}",
                if live == Some(true) { "live" } else { "ended" }
            ));
        }
    }
}

/// The last switch that was acknowledged holds, unless a later one has an unknown outcome.
fn check_switches(ledgers: &[Exchange], found: &Found, office_of: impl Fn(&str) -> String, tally: &mut Tally) {
    let mut last: BTreeMap<(String, String), Option<bool>> = BTreeMap::new();
    for Exchange { asked, answered } in ledgers.iter().filter(|exchange| exchange.asked.what == What::Switch) {
        let key = (asked.about.clone(), office_of(&asked.caller));
        match answered.as_ref().map(|answer| answer.status) {
            Some(200..300) => last.insert(key, Some(asked.sent == sha256(br#"{"hidden":true}"#))),
            None | Some(503) => last.insert(key, None),
            Some(_) => continue,
        };
    }
    for (key, hidden) in last {
        if hidden.is_some() && found.switches.get(&key).copied() != hidden {
            tally.lost.push(format!("switch of {key:?} should be {hidden:?}"));
        }
    }
}

/// What was asked for again under its key has one outcome and was done once (I-5): of each write that was acknowledged there
/// is one entry, whatever came of the answers, and one more at most for each that nobody has asked about again yet.
fn check_keys(ledgers: &[Exchange], found: &Found, office_of: impl Fn(&str) -> String, tally: &mut Tally) {
    let mut by_key: BTreeMap<(&str, &str), Vec<&Exchange>> = BTreeMap::new();
    for exchange in ledgers {
        if let Some(key) = &exchange.asked.key {
            by_key.entry((&exchange.asked.caller, key)).or_default().push(exchange);
        }
    }
    // Acknowledged and not known, by action, organisation and what it is about.
    let mut expected: BTreeMap<[String; 3], (u64, u64)> = BTreeMap::new();
    for asked_as in by_key.values() {
        let answers: Vec<_> = asked_as.iter().filter_map(|exchange| exchange.answered.as_ref()).collect();
        let done: Vec<_> = answers.iter().filter(|answer| answer.status < 300).collect();
        let asked = &asked_as[0].asked;
        // Contents are read anew each time; everything else is answered as it was.
        if asked.what != What::Fetch
            && done.windows(2).any(|two| (two[0].status, &two[0].digest) != (two[1].status, &two[1].digest))
        {
            tally.wrong.push(format!("{} {}: two answers under one key", asked.caller, asked.path));
        }
        tally.resolved += u64::from(asked_as.len() > 1 && !done.is_empty());
        let action = match asked.what {
            What::Register => "register",
            What::EndRegistration => "register.end",
            What::Consent => "consent.record",
            What::Submit => "submit",
            What::Return => "inbox.return",
            What::Accept => "inbox.accept",
            What::Propose => "disaster.propose",
            What::Approve => "disaster.approve",
            What::Close => "disaster.close",
            What::Switch => "switch",
            _ => continue,
        };
        let who = office_of(&asked.caller);
        let (acknowledged, open) = expected.entry([action.to_owned(), who, asked.about.clone()]).or_default();
        let refused = answers.iter().any(|answer| answer.status < 500 && answer.status >= 300);
        *acknowledged += u64::from(!done.is_empty());
        *open += u64::from(done.is_empty() && !(refused && asked_as.len() == 1));
    }
    let mut entries: BTreeMap<[String; 3], u64> = BTreeMap::new();
    for entry in found.audit.values().flatten().filter(|entry| entry[1] == "done") {
        let about = match entry[0].as_str() {
            // Before it there is no number to ask about.
            "disaster.propose" => "",
            action if action.starts_with("inbox.") || action.starts_with("disaster.") => entry[2].as_str(),
            _ => entry[3].as_str(),
        };
        *entries.entry([entry[0].clone(), entry[4].clone(), about.to_owned()]).or_default() += 1;
    }
    for (what, (acknowledged, open)) in expected {
        let there = entries.get(&what).copied().unwrap_or_default();
        if !(acknowledged..=acknowledged + open).contains(&there) {
            tally.wrong.push(format!("{what:?}: {acknowledged} acknowledged, {open} open, {there} entries"));
        }
    }
}

/// A document that was accepted is, byte for byte, the one that was sent (I-1).
fn check_contents(ledgers: &[Exchange], tally: &mut Tally) {
    let receipts = ledgers.iter().filter(|exchange| exchange.asked.what == What::Submit);
    let sent: BTreeMap<&str, &str> = receipts
        .filter_map(|exchange| Some((exchange.answered.as_ref()?.receipt.as_deref()?, exchange.asked.sent.as_str())))
        .collect();
    for Exchange { asked, answered } in ledgers.iter().filter(|exchange| exchange.asked.what == What::ReadOriginal) {
        let Some(answer) = answered.as_ref().filter(|answer| answer.status == 200) else { continue };
        // The receipt of a write whose answer never came is known to nobody but the city.
        let Some(sent) = sent.get(asked.about.as_str()) else { continue };
        tally.originals += 1;
        if answer.digest != **sent {
            tally.wrong.push(format!("document {} is not the one that was sent", asked.about));
        }
    }
}

/// What no ledger tells: nothing in the store without its entry, nothing half-applied.
fn check_doors(found: &Found, tally: &mut Tally) {
    let mut acts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for entry in found.audit.values().flatten().filter(|entry| entry[1] == "done") {
        *acts.entry((entry[0].as_str(), entry[2].as_str())).or_default() += 1;
    }
    let count = |action: &str, id: &str| acts.get(&(action, id)).copied().unwrap_or_default();
    for (id, row) in &found.submissions {
        let action = if row[2] == "G1" { "consent.record" } else { "submit" };
        if count(action, id) != 1 {
            tally.wrong.push(format!("document {id}: {} entries \"{action}\"", count(action, id)));
        }
        for (action, state) in [("inbox.accept", "accepted"), ("inbox.return", "returned")] {
            if count(action, id) != u64::from(row[1] == state) {
                tally.wrong.push(format!("document {id} is {}: {} entries \"{action}\"", row[1], count(action, id)));
            }
        }
        // No 届出 comes in any other way, and none is filed twice.
        if row[2] == "F1" && found.records_of(row) != u64::from(row[1] == "accepted") {
            tally.wrong.push(format!("document {id} is {}: {} records", row[1], found.records_of(row)));
        }
    }
    for (id, row) in &found.modes {
        let done = ["propose", "approve", "close"].map(|act| count(&format!("disaster.{act}"), id));
        let (approved, closed) = (!row[1].is_empty(), !row[2].is_empty());
        if (done[0], done[1], done[2] > 0) != (1, u64::from(approved), closed) {
            tally.wrong.push(format!("disaster mode {id}: {row:?}, entries {done:?}"));
        }
    }
    for ((action, id), _) in acts.iter().filter(|((action, _), _)| action.starts_with("disaster.")) {
        if !found.modes.contains_key(*id) {
            tally.wrong.push(format!("{action} of {id} is in the log and there is no mode"));
        }
    }
    if found.looks.0 != found.looks.1 {
        tally.wrong.push(format!("people found in a disaster, by the log and by the rows: {:?}", found.looks));
    }
    // The clients file no 届出 twice, so neither may the platform.
    let mut filed = BTreeSet::new();
    for row in found.submissions.values().filter(|row| row[2] == "F1") {
        if !filed.insert(&row[3..]) {
            tally.wrong.push(format!("document {} is there twice", row[0]));
        }
    }
    for ((_, id), _) in acts.iter().filter(|((action, _), _)| *action == "import.plans") {
        if !found.receipts.contains_key(*id) {
            tally.wrong.push(format!("plans {id} are in the log and there is no receipt"));
        }
    }
    for (id, row) in &found.receipts {
        if count("import.plans", id) > 0 {
            check_plans(id, row, &found.records, count, tally);
            continue;
        }
        let applied = u64::from(row[1] == "applied");
        let known = ["received", "refused", "applied"].contains(&row[1].as_str());
        if !known || count("import.applied", id) != applied || count("import.received", id) != 1 {
            tally.wrong.push(format!("receipt {id}: state {}, applied {} times", row[1], count("import.applied", id)));
        }
        let records = found.records.get(&row[3]).copied().unwrap_or_default();
        if row[1] != "applied" && (records > 0 || found.revisions.contains(&row[3])) {
            tally.wrong.push(format!("receipt {id} is {} and rows of it stand in the store", row[1]));
        }
    }
}

/// An upload of plans of two people: everything or nothing.
fn check_plans(
    id: &str,
    row: &Texts,
    records: &BTreeMap<String, u64>,
    count: impl Fn(&str, &str) -> u64,
    tally: &mut Tally,
) {
    let plans = records.get(&row[3]).copied().unwrap_or_default();
    let entries = (count("import.plans", id), count("import.plan", id));
    if (row[1].as_str(), row[2].as_str(), plans, entries) != ("applied", "2", 2, (1, 2)) {
        tally.wrong.push(format!("plans {id}: {row:?}, {plans} records, entries {entries:?}"));
    }
}

/// Verifies the whole audit log offline, as `kiban audit verify` does.
pub async fn require_intact(home: &std::path::Path, address: &str) -> u64 {
    let home = Home::open(home, Some(address)).unwrap();
    let key = home.signing_key().unwrap().public_key();
    let report = kiban_store::verify_log(address, &key, &home.anchor_dir()).await.unwrap();
    assert!(report.is_intact(), "{:#?}", report.findings);
    report.entries
}

/// Waits, within bounds, until the running server has applied everything it took.
pub async fn wait_until_all_is_applied(database: &mut Database) {
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(300);
    while !database.rows("SELECT public_id FROM receipt WHERE state = 'received'").await.is_empty() {
        assert!(tokio::time::Instant::now() < until, "a receipt that was taken is not worked on");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
