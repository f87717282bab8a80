//! The clients: a care manager, a home help office, an office nobody chose, a hospital, the city and two operators, each
//! asking what it asks all day, one request after the other, and keeping its ledger.

use super::canary;
use super::home::now;
use super::ledger::{Ledger, Lines, What};
use super::terminal::{Answer, Body, Lost, Terminal};
use super::town::{COLLEAGUE, Town, Who};
use jiff::ToSpan as _;
use kiban_domain::plan_request::PlanRequest;
use kiban_domain::{InsuredNumber, PersonKey};
use kiban_formats::care_plan::{PlanFileName, write_plan_set};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_sim::SimPerson;
use kiban_sim::documents;
use kiban_sim::plans::care_plan;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// 被保険者番号 of the person in a package or plan set, and its files.
type Package = (String, Vec<(String, Vec<u8>)>);

/// Disaster modes the operators know of, by how far they are.
#[derive(Default)]
struct Modes {
    known: BTreeSet<String>,
    proposed: Vec<String>,
    open: Vec<String>,
}

/// A write under its `Idempotency-Key`.
#[derive(Clone)]
struct Write {
    what: What,
    method: String,
    path: String,
    about: String,
    body: Body,
    key: String,
    /// How often it was asked for again and something was in the way.
    tries: u8,
}

/// One client with everything it remembers; it outlives servers.
pub struct Party {
    who: Who,
    town: Arc<Town>,
    terminal: Terminal,
    ledger: Ledger,
    /// What an unentitled office tries: handles that were given to somebody else.
    foreign: Arc<Mutex<Vec<String>>>,
    modes: Arc<Mutex<Modes>>,
    step: usize,
    turn: usize,
    /// Handles of this party by 被保険者番号.
    handles: Vec<(String, String)>,
    /// Package or plan set sent last without an answer, to be sent again.
    unanswered: Option<Package>,
    /// A write whose outcome is not known, to be asked for again under its key.
    open: Option<Write>,
    /// Documents this party has accepted.
    accepted: Vec<String>,
    serial: i64,
}

/// All parties of a home.
pub fn everybody(town: &Arc<Town>, ledgers: &Path, lines: &Lines) -> Vec<Party> {
    let (foreign, modes) = (Arc::default(), Arc::default());
    let party = |who: Who| Party {
        who,
        town: Arc::clone(town),
        terminal: town.terminal(who),
        ledger: Ledger::create(ledgers, &format!("{who:?}").to_lowercase(), lines),
        foreign: Arc::clone(&foreign),
        modes: Arc::clone(&modes),
        step: 0,
        turn: 0,
        handles: Vec::new(),
        unanswered: None,
        open: None,
        accepted: Vec::new(),
        serial: 0,
    };
    Who::ALL.map(party).into_iter().collect()
}

/// Lets all parties work at the same time until each has asked `most` times or lost the server. Gives them back.
pub async fn work(parties: Vec<Party>, address: SocketAddr, most: usize) -> Vec<Party> {
    work_until_lost(parties, address, most).await.0
}

/// The same, and whether somebody lost the server.
pub async fn work_until_lost(parties: Vec<Party>, address: SocketAddr, most: usize) -> (Vec<Party>, bool) {
    let tasks: Vec<_> = parties
        .into_iter()
        .map(|mut party| {
            tokio::spawn(async move {
                party.terminal.hang_up();
                for _ in 0..most {
                    if party.next(address).await.is_err() {
                        return (party, true);
                    }
                }
                (party, false)
            })
        })
        .collect();
    let (mut back, mut lost) = (Vec::new(), false);
    for task in tasks {
        let (party, without) = task.await.unwrap();
        back.push(party);
        lost |= without;
    }
    (back, lost)
}

impl Party {
    /// The next thing this party does.
    async fn next(&mut self, address: SocketAddr) -> Result<(), Lost> {
        self.terminal.connect(address).await?;
        if let Some(open) = self.open.clone() {
            return self.ask_again(open).await;
        }
        self.step += 1;
        match self.who {
            Who::Manager => self.manager().await,
            Who::Helper => self.helper().await,
            Who::Stranger => self.stranger().await,
            Who::Doctor => self.doctor().await,
            Who::City => self.city().await,
            Who::Operator => self.operator().await,
            Who::SecondOperator => self.second_operator().await,
        }
    }

    /// Ledger, request, answer, ledger.
    async fn ask(&mut self, what: What, method: &str, path: &str, about: &str, body: Body) -> Result<Answer, Lost> {
        if !what.takes_key() {
            return self.exchange(what, (method, path), about, None, body).await;
        }
        let (method, path, about) = (method.to_owned(), path.to_owned(), about.to_owned());
        self.put(Write { what, method, path, about, body, key: self.ledger.new_key(), tries: 0 }).await
    }

    async fn exchange(
        &mut self,
        what: What,
        (method, path): (&str, &str),
        about: &str,
        key: Option<&str>,
        body: Body,
    ) -> Result<Answer, Lost> {
        let sent = match &body {
            Body::Json(value) => value.to_string().into_bytes(),
            Body::Nothing | Body::Files(_) => Vec::new(),
        };
        let n = self.ledger.asked(what, &format!("{method} {path}"), about, key, &sent);
        let answer = self.terminal.send_under(key, method, path, body).await?;
        self.ledger.answered(n, &answer);
        Ok(answer)
    }

    /// A write under its key; it stays open until its outcome is known.
    async fn put(&mut self, write: Write) -> Result<Answer, Lost> {
        self.open = Some(write.clone());
        let Write { what, method, path, about, body, key, tries } = write;
        let answer = self.exchange(what, (&method, &path), &about, Some(&key), body).await?;
        // What was sent before may still be running: 409 says nothing of it yet.
        let in_the_way =
            answer.status == 409 && tries > 0 && tries < 20 || answer.text("code").as_deref() == Some("busy");
        if answer.status < 500 && !in_the_way {
            self.open = None;
        }
        if what == What::Register
            && let Some(handle) = answer.text("handle")
        {
            self.handles.retain(|(known, _)| *known != about);
            self.foreign.lock().unwrap().push(handle.clone());
            self.handles.push((about.clone(), handle));
        }
        if answer.status < 300 {
            let mut modes = self.modes.lock().unwrap();
            match (what, answer.text("id")) {
                (What::Propose, Some(id)) if modes.known.insert(id.clone()) => modes.proposed.push(id),
                (What::Approve, _) if modes.proposed.contains(&about) => {
                    modes.proposed.retain(|id| *id != about);
                    modes.open.push(about);
                }
                (What::Close, _) => modes.open.retain(|id| *id != about),
                _ => {}
            }
        }
        Ok(answer)
    }

    /// Asks for the outcome, and once more: both answers are the same, and it was done once (I-5).
    async fn ask_again(&mut self, open: Write) -> Result<(), Lost> {
        let open = Write { tries: open.tries + 1, ..open };
        let answer = self.put(open.clone()).await?;
        if answer.status < 300 {
            self.put(open).await?;
        }
        Ok(())
    }

    async fn read(&mut self, path: &str, about: &str) -> Result<Answer, Lost> {
        self.ask(What::Read, "GET", path, about, Body::Nothing).await
    }

    /// People in turn; each party begins elsewhere.
    fn person(&mut self) -> SimPerson {
        let town = Arc::clone(&self.town);
        let people = town.ordinary_people();
        self.turn += 1;
        people[(self.turn * 3 + self.who as usize) % people.len()].clone()
    }

    async fn register(&mut self, person: &SimPerson, makes_plan: bool, wrong: bool) -> Result<(), Lost> {
        let (items, identity) = (person.four_items(), &person.insured.identity);
        let birth = if wrong { identity.birth.tomorrow().unwrap() } else { identity.birth };
        let number = items.number.insured.to_string();
        let body = json!({
            "insurer_number": items.number.insurer, "insured_number": number, "kana": identity.kana,
            "birth": birth, "sex": identity.sex, "makes_plan": makes_plan,
        });
        self.ask(What::Register, "POST", "/api/v1/people", &number, Body::Json(body)).await.map(drop)
    }

    /// A person this party has registered, in turn.
    fn known(&mut self) -> Option<(String, String)> {
        self.turn += 1;
        (!self.handles.is_empty()).then(|| self.handles[self.turn % self.handles.len()].clone())
    }

    async fn manager(&mut self) -> Result<(), Lost> {
        if let Some(plans) = self.unanswered.clone() {
            return self.send(What::Plans, "/api/v1/plans", plans).await;
        }
        if self.step % 20 == 10 && self.handles.len() >= 2 {
            let plans = self.plan_set();
            return self.send(What::Plans, "/api/v1/plans", plans).await;
        }
        let Some((number, handle)) = self.known().filter(|_| self.step % 10 != 1) else {
            let person = self.person();
            return self.register(&person, true, false).await;
        };
        let at = |rest: &str| format!("/api/v1/people/{handle}{rest}");
        match self.step % 10 {
            2 => self.read(&at("/records/A3a"), &number).await?,
            3 | 7 => {
                let act = if self.step % 10 == 3 { "given" } else { "withdrawn" };
                let body =
                    json!({ "act": act, "declarant": "person", "proof": "insurance_card", "form": "同意様式 第1版" });
                self.ask(What::Consent, "POST", &at("/consents"), &number, Body::Json(body)).await?
            }
            4 | 8 => {
                let request = self.plan_request(&number);
                let body = Body::Json(serde_json::to_value(request).unwrap());
                self.ask(What::Submit, "POST", &at("/plan-requests"), &number, body).await?
            }
            5 => self.read("/api/v1/people?limit=200", "").await?,
            6 => self.read(&at("/submissions"), &number).await?,
            9 => self.ask(What::ReadPage, "GET", &at(""), &number, Body::Nothing).await?,
            // ◎ and blank kinds, with and without consent: seen or refused; plans, own and none.
            _ => {
                let paths = ["/records/A2", "/records/E1", "/why", "/records/CP1"];
                self.read(&at(paths[self.turn % paths.len()]), &number).await?
            }
        };
        Ok(())
    }

    /// 第1–3表 of two people this office has registered, changed once more: a word nobody has used, a later serial.
    fn plan_set(&mut self) -> Package {
        self.serial += 1;
        let town = Arc::clone(&self.town);
        let offices = (town.organization(Who::Manager), town.organization(Who::Helper));
        let serial = 20_261_101_000_000 + self.serial;
        let name = format!("UP1KYO_{}_43_{}_11_{serial}.CSV", offices.0, offices.1);
        let sending = PlanFileName::parse(&name).unwrap().sending;
        let plan_of = |number: &str| {
            let mut plan = care_plan(&town.generator, &town.cast.consenting).unwrap();
            plan.person = PersonKey { insured: InsuredNumber::parse(number).unwrap(), ..plan.person };
            plan.table1.policy = format!("{}{:07}", canary::PLAN, self.serial);
            plan
        };
        self.turn += 1;
        let first = self.turn % self.handles.len();
        let numbers = [first, (first + 1) % self.handles.len()].map(|at| self.handles[at].0.clone());
        let plans = numbers.each_ref().map(|number| plan_of(number));
        (numbers[0].clone(), write_plan_set(&plans, &sending).unwrap())
    }

    /// A 届出 nobody has filed yet: each begins on another day.
    fn plan_request(&mut self, number: &str) -> PlanRequest {
        self.serial += 1;
        let town = Arc::clone(&self.town);
        let model = &town.cast.consenting;
        let person = town.city.people.iter().find(|p| p.insured.key.insured.as_str() == number).unwrap_or(model);
        let today = town.city.spec.today;
        let request = documents::plan_request(&town.generator, model, today).unwrap();
        PlanRequest { person: person.insured.key, starts_on: today.checked_add(self.serial.days()).unwrap(), ..request }
    }

    async fn helper(&mut self) -> Result<(), Lost> {
        if self.step % 7 == 3 {
            return self.search().await;
        }
        let Some((number, handle)) = self.known().filter(|_| self.step % 6 != 1) else {
            let person = self.person();
            return self.register(&person, false, false).await;
        };
        if self.step % 7 == 5 {
            return self.switch(&number, &handle).await;
        }
        let at = |rest: &str| format!("/api/v1/people/{handle}{rest}");
        match self.step % 6 {
            2 => self.read(&at("/records/A3a"), &number).await?,
            // Blank: refused like nothing.
            3 => self.read(&at("/records/A2"), &number).await?,
            4 => self.read(&at("/look-ups"), &number).await?,
            5 if self.step % 18 == 5 => {
                self.ask(What::EndRegistration, "DELETE", &at("/registration"), &number, Body::Nothing).await?
            }
            _ => self.read("/api/v1/people?limit=200", "").await?,
        };
        Ok(())
    }

    /// Opens the city's people to the helper's office for a day, and closes what was opened.
    async fn operator(&mut self) -> Result<(), Lost> {
        let (waiting, open) = {
            let modes = self.modes.lock().unwrap();
            (modes.proposed.len(), modes.open.first().cloned())
        };
        match open.filter(|_| self.step.is_multiple_of(3)) {
            Some(id) => {
                let path = format!("/api/v1/disasters/{id}/close");
                self.ask(What::Close, "POST", &path, &id, Body::Nothing).await.map(drop)
            }
            None if waiting > 2 => self.read("/api/v1/notices", "").await.map(drop),
            None => {
                let (today, city) = (self.town.city.spec.today, self.town.city.insurer);
                let offices = [self.town.organization(Who::Helper)];
                let body =
                    json!({ "event": "見本水害", "areas": [city], "offices": offices, "from": today, "to": today });
                self.ask(What::Propose, "POST", "/api/v1/disasters", "", Body::Json(body)).await.map(drop)
            }
        }
    }

    async fn second_operator(&mut self) -> Result<(), Lost> {
        let waiting = self.modes.lock().unwrap().proposed.first().cloned();
        let Some(id) = waiting else { return self.read("/api/v1/notices", "").await.map(drop) };
        let path = format!("/api/v1/disasters/{id}/approve");
        self.ask(What::Approve, "POST", &path, &id, Body::Nothing).await.map(drop)
    }

    /// Finds somebody without a card, if a mode is open to this office.
    async fn search(&mut self) -> Result<(), Lost> {
        let identity = self.person().insured.identity;
        let body = json!({
            "reason": "安否確認", "insurer_number": self.town.city.insurer, "kana": identity.kana, "birth": identity.birth,
        });
        self.ask(What::Search, "POST", "/api/v1/disasters/search", "", Body::Json(body)).await.map(drop)
    }

    /// Switches a colleague's view of a person off, and on again.
    async fn switch(&mut self, number: &str, handle: &str) -> Result<(), Lost> {
        let body = Body::Json(json!({ "hidden": self.step.is_multiple_of(2) }));
        let path = format!("/api/v1/people/{handle}/staff/{COLLEAGUE}");
        self.ask(What::Switch, "PUT", &path, number, body).await.map(drop)
    }

    /// Wrong items and nothing registered: never sees anything.
    async fn stranger(&mut self) -> Result<(), Lost> {
        match self.step % 2 {
            0 => {
                let person = self.person();
                self.register(&person, false, true).await
            }
            _ => self.read("/api/v1/people?limit=200", "").await.map(drop),
        }
    }

    async fn doctor(&mut self) -> Result<(), Lost> {
        let town = Arc::clone(&self.town);
        let person = &town.cast.applying;
        let number = person.insured.key.insured.to_string();
        let Some((_, handle)) = self.handles.first().cloned() else {
            let list = self.read("/api/v1/people?limit=200", "").await?.json();
            let lines = list["people"].as_array().cloned().unwrap_or_default();
            let line = lines.into_iter().find(|line| line["insured_number"] == number.as_str());
            if let Some(handle) = line.and_then(|line| line["handle"].as_str().map(str::to_owned)) {
                self.handles.push((number, handle));
            }
            return Ok(());
        };
        if self.step.is_multiple_of(3) {
            self.read(&format!("/api/v1/people/{handle}/submissions"), &number).await?;
            return Ok(());
        }
        let opinion = documents::physician_opinion(&town.generator, person, town.city.spec.today).unwrap();
        let path = format!("/api/v1/people/{handle}/opinions");
        self.ask(What::Submit, "POST", &path, &number, Body::Json(serde_json::to_value(opinion).unwrap())).await?;
        Ok(())
    }

    async fn city(&mut self) -> Result<(), Lost> {
        if let Some(package) = self.unanswered.clone() {
            return self.send(What::Import, "/api/v1/packages", package).await;
        }
        match self.step % 5 {
            1 => {
                let package = self.package();
                self.send(What::Import, "/api/v1/packages", package).await
            }
            2 => self.give_back().await,
            4 => self.take_in().await,
            3 => {
                let number = self.person().insured.key.insured.to_string();
                let body = Body::Json(json!({ "insured_number": number }));
                let answer = self.ask(What::Read, "POST", "/api/v1/people/find", &number, body).await?;
                if let Some(handle) = answer.text("handle") {
                    self.read(&format!("/api/v1/people/{handle}/records/A3a"), &number).await?;
                }
                Ok(())
            }
            _ if self.step % 10 == 5 || self.accepted.is_empty() => self.read("/api/v1/inbox", "").await.map(drop),
            _ => {
                // What was accepted, as it was sent: oldest and newest in turn.
                self.turn += 1;
                let receipt = self.accepted[self.turn % self.accepted.len()].clone();
                self.original(&receipt).await
            }
        }
    }

    async fn original(&mut self, receipt: &str) -> Result<(), Lost> {
        let path = format!("/api/v1/inbox/{receipt}/original");
        self.ask(What::ReadOriginal, "GET", &path, receipt, Body::Nothing).await.map(drop)
    }

    /// Returns the first two documents of the inbox that are no notices.
    async fn give_back(&mut self) -> Result<(), Lost> {
        let inbox = self.read("/api/v1/inbox", "").await?.json();
        let items = inbox["items"].as_array().cloned().unwrap_or_default();
        let documents = items.iter().filter(|item| item["kind"] != "G1").filter_map(|item| item["receipt"].as_str());
        for receipt in documents.take(2) {
            let body = Body::Json(json!({ "reason": "開始年月日を確認してください" }));
            self.ask(What::Return, "POST", &format!("/api/v1/inbox/{receipt}/return"), receipt, body).await?;
        }
        Ok(())
    }

    /// Fetches and accepts the first document of the inbox and the first notice.
    async fn take_in(&mut self) -> Result<(), Lost> {
        let inbox = self.read("/api/v1/inbox", "").await?.json();
        let items = inbox["items"].as_array().cloned().unwrap_or_default();
        let (notices, documents): (Vec<_>, Vec<_>) = items.iter().partition(|item| item["kind"] == "G1");
        let first = [documents.first(), notices.first()].into_iter().flatten();
        for (item, receipt) in first.filter_map(|item| Some((item, item["receipt"].as_str()?))) {
            let path = format!("/api/v1/inbox/{receipt}");
            self.ask(What::Fetch, "POST", &format!("{path}/fetch"), receipt, Body::Nothing).await?;
            let accepted = self.ask(What::Accept, "POST", &format!("{path}/accept"), receipt, Body::Nothing).await?;
            if accepted.status == 200 && item["kind"] != "G1" {
                self.accepted.push(receipt.to_owned());
                self.original(receipt).await?;
            }
        }
        Ok(())
    }

    /// One person with a corrected postal code and a new card: two rows under a history number nobody has used.
    fn package(&mut self) -> Package {
        self.serial += 1;
        let (person, history) = (self.person(), 1 + self.serial as u32);
        let (key, mut insured) = (person.insured.key, person.insured.clone());
        insured.identity.postal_code = Some(format!("999-{:04}", self.serial % 10_000));
        let changed = Entry { key, history, change: Change::Corrected, value: insured };
        let card = Entry { key, history, change: Change::New, value: person.card };
        let files = MunicipalPackage::new(self.town.city.insurer, now()).insured(&[changed]).cards(&[card]).finish();
        (key.insured.to_string(), files.unwrap())
    }

    /// Sends files, and after an unknown outcome the same bytes again.
    async fn send(&mut self, what: What, path: &str, (number, files): Package) -> Result<(), Lost> {
        self.unanswered = Some((number.clone(), files.clone()));
        let answer = self.ask(what, "POST", path, &number, Body::Files(files)).await?;
        if answer.status < 500 {
            self.unanswered = None;
        }
        Ok(())
    }
}
