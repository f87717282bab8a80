//! お知らせ（紙）の一括作成 (P-036): the notices on paper of a whole city in one run, for everybody certified who does not look for
//! themselves, in the order in which the post wants them, in bundles each of which has its register.
//!
//! Two passes, so that no more than a bundle is in memory: one says whom and in what order, one makes the papers. Each bundle leaves
//! after the entry that names everybody in it is durable.

use crate::claim_values::values_on;
use crate::identification::notice_line;
use crate::running::Place;
use crate::statistics::{certifications, is_insured, known, live_certification};
use crate::{Caller, Context, Error, ItemFault, PaperNotice, Platform, random_id};
use jiff::civil::Time;
use kiban_domain::insurance_card::InsuranceCard;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, Organization, PersonKey, Timestamp, dates};
use kiban_pki::paper::NoticeKey;
use kiban_store::{BlockPerson, Entry, Outcome, Pass, PortalGrant, PortalRole};
use serde::Serialize;
use std::collections::BTreeSet;
use tokio::sync::mpsc;

/// Papers of a bundle: one file for the printer.
pub const PAPERS_OF_A_BUNDLE: usize = 200;
/// People in memory at a time.
const BLOCK: i32 = 500;
/// What the paper says comes from these.
const CARDS: [Kind; 3] = [Kind::A3a, Kind::A3b, Kind::A3c];
/// How far from today the day may lie: the burden rates of August are sent in July.
const MOST_DAYS: i32 = 366;

/// What is wanted of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoticesOrder {
    /// Day as of which the papers hold; today where none is named.
    pub day: Option<Date>,
    /// Only people a card of whom changed here on this day or later; everybody where none is named.
    pub since: Option<Date>,
}

/// One paper and its place in the bundle, from 1.
#[derive(Debug, Clone)]
pub struct BundledNotice {
    /// Place in the run, from 1.
    pub number: u64,
    /// What it says.
    pub notice: PaperNotice,
}

/// What a run hands out, in this order: bundles, then how it ended.
#[derive(Debug)]
pub enum NoticesPart {
    /// A finished bundle and its number, from 1.
    Bundle(u64, Vec<BundledNotice>),
    /// The end: nothing is missing.
    Done(NoticesReport),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NoticesReport {
    /// Papers made.
    pub papers: u64,
    /// Bundles made.
    pub bundles: u64,
    /// Papers without an address: they are the last ones.
    pub without_address: u64,
    /// 不開示の人: each by hand, from the person's page.
    pub withheld: u64,
    /// People who look for themselves.
    pub look_themselves: u64,
    /// Certified people no card of whom changed since the day that was named.
    pub unchanged: u64,
    /// Rows that could not be read.
    pub damaged: u64,
}

/// A run that goes on. Dropped, it ends and is recorded as failed.
pub struct PaperNotices {
    /// Bundles and the end; an error ends it.
    pub parts: mpsc::Receiver<Result<NoticesPart, Error>>,
}

/// Where a letter goes in the post's order: 郵便番号, 住所, カナ氏名, 被保険者番号; those without an address last.
type Stop = (bool, String, String, String, InsuredNumber);

/// What a run is made of.
#[derive(Clone, Copy)]
struct Run {
    insurer: InsurerNumber,
    at: Timestamp,
    today: Date,
    day: Date,
    since: Option<Timestamp>,
}

impl Platform {
    /// Begins a run for the caller's own municipality.
    pub async fn paper_notices<E: From<Error>>(
        &self,
        caller: &Caller,
        order: Result<NoticesOrder, E>,
        context: &Context,
    ) -> Result<PaperNotices, E> {
        let insurer = self.may_export(caller, context)?;
        let entry = caller.entry(context, "paper_notices", Outcome::Allowed);
        Ok(self.begin_notices(insurer, order?, entry, context).await?)
    }

    /// The same for the command line on the platform's own machine.
    pub async fn paper_notices_locally(
        &self,
        insurer: InsurerNumber,
        order: NoticesOrder,
        context: &Context,
    ) -> Result<PaperNotices, Error> {
        let entry = Entry::new(context.now, &context.request_id, "cli", "paper_notices", Outcome::Allowed);
        let entry = Entry { organization: Some(Organization::Municipality(insurer).to_string()), ..entry };
        self.begin_notices(insurer, order, entry, context).await
    }

    /// Whether the caller may begin one at all, for the page that asks what it is to be; recorded.
    pub async fn may_make_notices(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        self.may_export(caller, context)?;
        self.store().audit().append(caller.entry(context, "paper_notices.form", Outcome::Allowed)).await?;
        Ok(())
    }

    async fn begin_notices(
        &self,
        insurer: InsurerNumber,
        order: NoticesOrder,
        entry: Entry,
        context: &Context,
    ) -> Result<PaperNotices, Error> {
        let run = Run::of(insurer, order, context)?;
        if self.notice_key().is_none() {
            return Err(Error::Unknown);
        }
        let busy = "この市区町村のお知らせは、いま作っているところです。終わってからもう一度行ってください";
        let place = self.running().take("paper_notices", insurer).ok_or(Error::Conflict(busy))?;
        let detail = serde_json::json!({ "day": run.day, "since": order.since }).to_string();
        let entry = Entry {
            insurer: Some(insurer.to_string()),
            natural_key: Some(random_id()?),
            detail: Some(detail),
            ..entry
        };
        let started = Entry { action: "paper_notices.started".to_owned(), ..entry.clone() };
        let pass = self.store().audit().begin_pass(started).await?;
        let (sender, parts) = mpsc::channel(1);
        let platform = self.clone();
        tokio::spawn(async move {
            let ended = platform.run_notices(run, (&pass, &entry), (&sender, &place)).await;
            let (action, outcome) = match &ended {
                Ok(_) => ("paper_notices.done", Outcome::Done),
                Err(_) => ("paper_notices.failed", Outcome::Failed),
            };
            let report = ended.as_ref().ok().and_then(|report| serde_json::to_string(report).ok());
            let last = Entry { action: action.to_owned(), outcome, detail: report.or(entry.detail.clone()), ..entry };
            let recorded = platform.store().audit().append(last).await.map_err(Error::from);
            // Free before the end is heard of: who hears it may begin the next one.
            drop(place);
            let _ = sender.send(recorded.and(ended).map(NoticesPart::Done)).await;
        });
        Ok(PaperNotices { parts })
    }

    async fn run_notices(
        &self,
        run: Run,
        (pass, entry): (&Pass, &Entry),
        (sender, place): (&mpsc::Sender<Result<NoticesPart, Error>>, &Place),
    ) -> Result<NoticesReport, Error> {
        place.set_total(u64::try_from(self.store().count_people(run.insurer).await?).unwrap_or_default());
        let unapplied = self.store().unapplied(run.insurer).await?;
        let mut report = NoticesReport::default();
        let mut stops = self.stops(run, (pass, place), &unapplied, &mut report).await?;
        stops.sort();
        let mut bundle = Vec::new();
        let mut stops = stops.into_iter().peekable();
        while let Some((is_last, .., insured)) = stops.next() {
            let person = PersonKey { insurer: run.insurer, insured };
            if let Some(notice) = self.paper_of(run, person, pass, &unapplied).await? {
                report.papers += 1;
                report.without_address += u64::from(is_last);
                bundle.push(BundledNotice { number: report.papers, notice });
            }
            if bundle.len() == PAPERS_OF_A_BUNDLE || (stops.peek().is_none() && !bundle.is_empty()) {
                report.bundles += 1;
                let subjects = bundle.iter().map(|one| one.notice.insured.key.insured.to_string()).collect();
                let detail = serde_json::json!({ "bundle": report.bundles, "day": run.day }).to_string();
                let listed = Entry { action: "paper_notices.bundle".to_owned(), subjects, ..entry.clone() };
                self.store().audit().append(Entry { detail: Some(detail), ..listed }).await?;
                let part = NoticesPart::Bundle(report.bundles, std::mem::take(&mut bundle));
                let gone = |_| Error::Unavailable("the receiver of the notices went away".to_owned());
                sender.send(Ok(part)).await.map_err(gone)?;
            }
        }
        Ok(report)
    }

    /// Who gets a paper, in no order, and how many do not and why.
    async fn stops(
        &self,
        run: Run,
        (pass, place): (&Pass, &Place),
        unapplied: &[i64],
        report: &mut NoticesReport,
    ) -> Result<Vec<Stop>, Error> {
        let mut stops = Vec::new();
        let mut after: Option<InsuredNumber> = None;
        loop {
            let block = pass.open(self.store().block(run.insurer, after, BLOCK, &CARDS).await?);
            let Some(last) = block.last else { return Ok(stops) };
            let grants = self.store().portal_grants_between(run.insurer, after, last).await?;
            let looks = |grant: &&PortalGrant| {
                grant.role == PortalRole::Person && grant.bound.is_some() && grant.is_live(run.today)
            };
            let themselves: BTreeSet<InsuredNumber> =
                grants.iter().filter(looks).map(|grant| grant.person.insured).collect();
            after = Some(last);
            report.damaged += block.damaged;
            place.add(block.people.len() as u64 + block.damaged);
            for person in block.people.iter().filter(|person| !unapplied.contains(&person.header.revision)) {
                let cards = certifications(&known::<InsuranceCard>(person, Kind::A3a, run.at, unapplied));
                if !is_insured(&person.insured, run.day) || live_certification(&cards, run.day).is_none() {
                    continue;
                }
                if person.header.withheld || person.insured.withheld {
                    report.withheld += 1;
                } else if themselves.contains(&person.insured.key.insured) {
                    report.look_themselves += 1;
                } else if run.since.is_some_and(|since| !changed_since(person, since, run.at, unapplied)) {
                    report.unchanged += 1;
                } else if self.is_last_number(person.insured.key).await? {
                    stops.push(stop(person));
                }
            }
        }
    }

    /// What one paper says; none where the person went under 不開示 meanwhile.
    async fn paper_of(
        &self,
        run: Run,
        person: PersonKey,
        pass: &Pass,
        unapplied: &[i64],
    ) -> Result<Option<PaperNotice>, Error> {
        let Some((header, insured)) = self.store().person(person).await? else { return Ok(None) };
        let Some(key) = self.notice_key().filter(|_| !header.withheld && !insured.withheld) else { return Ok(None) };
        let mut records = Vec::new();
        for kind in CARDS {
            records.extend(pass.open(self.store().records(person, kind).await?));
        }
        let values = values_on(run.day, records, (run.at, unapplied));
        let line = Some(notice_line(key, &insured, &values, (run.day, run.today)));
        Ok(Some(PaperNotice { insured, issued: run.today, day: run.day, values, line }))
    }

    fn notice_key(&self) -> Option<&NoticeKey> {
        self.identification().notice_key.as_ref()
    }
}

impl Run {
    fn of(insurer: InsurerNumber, order: NoticesOrder, context: &Context) -> Result<Self, Error> {
        let today = context.today();
        let day = order.day.unwrap_or(today);
        let mut faults = Vec::new();
        if !(-MOST_DAYS..=MOST_DAYS).contains(&(day - today).get_days()) {
            faults
                .push(ItemFault::new("day", format!("いつの内容かは、今日の前後{MOST_DAYS}日までの日にしてください")));
        }
        if order.since.is_some_and(|since| since > today) {
            faults.push(ItemFault::new("since", "いつから変わった人かは、今日までの日にしてください"));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let since = order.since.and_then(|since| dates::instant_in_japan(since.to_datetime(Time::midnight())));
        Ok(Self { insurer, at: context.now, today, day, since })
    }
}

fn stop(person: &BlockPerson) -> Stop {
    let identity = &person.insured.identity;
    let [postal_code, address] =
        [&identity.postal_code, &identity.address].map(|part| part.clone().unwrap_or_default());
    (address.trim().is_empty(), postal_code, address, identity.kana.clone(), person.insured.key.insured)
}

/// Whether something of the cards became known, was corrected or was taken back since.
fn changed_since(person: &BlockPerson, since: Timestamp, at: Timestamp, unapplied: &[i64]) -> bool {
    let headers = person.records.iter().map(|record| &record.header);
    let mut counted = headers.filter(|header| header.recorded_at <= at && !unapplied.contains(&header.revision));
    counted.any(|header| header.recorded_at >= since)
}
