//! やりとり: one set of files of the care-plan exchange from one office to one other (P-142, P-150, P-166). Sent, listed,
//! fetched, answered with results, taken back; known to its sender and its addressee and to nobody else. It needs no
//! registration, no consent and no start of a municipality, and becomes a record only by 交付用登録.
//!
//! The log keeps who sent what to whom under the number of the message, and the people in it sealed with the entry of the
//! sending: it stands under no insurer, so that not even who looks through the log of a municipality learns of it.

use crate::intake::{ReportedProblem, bundle, is_safe_name};
use crate::notices::Tell;
use crate::plan_documents::{PlanDocument, named_documents};
use crate::slip_checks::Checked;
use crate::submission::hex;
use crate::{Caller, Context, Error, Platform, elsewhere, random_id};
use kiban_domain::care_plan::ServiceSlip;
use kiban_domain::dates::ServiceMonth;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::OfficeClass;
use kiban_domain::slip::{SlipContent, SlipState};
use kiban_domain::{Date, Kind, OfficeNumber, Organization, PersonKey, Timestamp};
use kiban_formats::Problem;
use kiban_formats::care_plan::{PlanFileKind, PlanFileName, Received, read_set_by};
use kiban_policy::{
    Disclosure, Rule, SharingTable, SlipAct, SlipDecision, SlipFacts, SlipParty, UseCase, class_of, decide_slip,
    may_receive_slips,
};
use kiban_store::{Asker, Entry, NewSlip, OtherSlip, Outcome, Slip, SlipDocument, SlipSide};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NOTHING: &str =
    "送れるファイルがありません。ケアプランデータ連携標準仕様 4.1 のファイルを1組（同じファイル連番）送ってください";
const FOREIGN: &str = "ファイル名の送信元事業所番号が、ログインしている事業所の番号と違います";
const ELSEWHERE: &str =
    "ファイル名の送信先事業所番号が、宛先（to）の事業所番号と違います。別の事業所に届かないように、何も送っていません";
const SEVERAL: &str = "ファイル連番の違うファイルがあります。1回に送れるのは、同じファイル連番の1組です";
const MIXED: &str = "予定と実績のファイルが混ざっています。予定の組と実績の組に分けて送ってください";
const OTHER_BYTES: &str = "同じファイル連番の、違う内容の送信があります。ソフトからファイルを出力し直して（新しいファイル連番で）送ってください";
const SUPERSEDED: &str =
    "より新しいファイル連番のものを送信済みです。受け取る側は連番の順に処理するので、この内容は使われません";
const NOT_SENT_HERE: &str =
    "取り消す対象を、この基盤からこの事業所に送っていません。電話などで渡したものであれば、このままで構いません";
const FETCHED: &str =
    "宛先が取得した送信は取り消せません。削除のファイル（DLTPLAN・DLT1KYO・DLTJSK）を送るか、宛先に連絡してください";
const TAKEN_BACK: &str = "取り消した送信です。内容は残っていません。もう一度送るときは、新しい送信としてください";
const FETCH_FIRST: &str = "先に取得（fetch）してください。送信元に取得の日時が伝わります";
const CHANGED: &str = "同時に取得・取消しがありました。一覧で状態を確かめてください";

/// To whom a set goes.
#[derive(Debug, Clone)]
pub struct SlipWanted {
    /// 宛先の事業所番号
    pub to: OfficeNumber,
    /// The message that is answered, when results go back.
    pub reply_to: Option<String>,
}

/// Which messages of one side are asked for.
#[derive(Debug, Clone, Copy)]
pub struct SlipPage {
    /// Only those in this state.
    pub state: Option<SlipState>,
    /// Most of them.
    pub limit: i32,
}

/// A file of a message, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlipFile {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: usize,
    /// SHA-256 of the bytes, lower-case hexadecimal.
    pub sha256: String,
}

/// What is kept beside the files of a message.
#[derive(Serialize, Deserialize)]
struct About {
    people: usize,
    /// Who they are; none in a message of before this was kept.
    #[serde(default)]
    insured: BTreeSet<PersonKey>,
    files: Vec<SlipFile>,
    replaces: Vec<String>,
    warnings: Vec<ReportedProblem>,
}

/// A message as its sender or its addressee sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlipView {
    /// Its number.
    pub slip: String,
    /// 送信元
    pub sender: OfficeNumber,
    /// Its name, while it is registered on the platform.
    pub sender_name: Option<String>,
    /// 宛先
    pub receiver: OfficeNumber,
    /// Its name.
    pub receiver_name: Option<String>,
    /// ファイル連番: messages are to be processed in its order.
    pub serial: String,
    /// 予定 or 実績.
    pub content: SlipContent,
    /// The same in Japanese.
    pub content_name: &'static str,
    /// 対象年月, YYYYMM; none for 第1–3表.
    pub month: Option<ServiceMonth>,
    /// Where it stands.
    pub state: SlipState,
    /// The same in Japanese.
    pub state_name: &'static str,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When its addressee fetched it.
    pub fetched_at: Option<Timestamp>,
    /// When its sender took it back.
    pub withdrawn_at: Option<Timestamp>,
    /// The message it answers.
    pub reply_to: Option<String>,
    /// The last message with results that answers it.
    pub answer: Option<String>,
    /// When that was sent.
    pub answered_at: Option<Timestamp>,
    /// Earlier messages with some of the same documents, which this one updates.
    pub replaces: Vec<String>,
    /// How many people are in it.
    pub people: usize,
    /// Its files.
    pub files: Vec<SlipFile>,
    /// What to look at, for its sender only: it may say what the platform holds.
    pub warnings: Vec<ReportedProblem>,
}

/// What became of a set that was sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SentSlip {
    /// The message.
    pub slip: SlipView,
    /// True when the same set had been sent before.
    pub repeated: bool,
}

/// Whether an office can be sent messages, asked before sending (P-142).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reachable {
    /// 事業所番号
    pub office: OfficeNumber,
    /// Its name, if it is registered.
    pub name: Option<String>,
    /// It can be sent messages now.
    pub reachable: bool,
    /// `connected`, `not_connected`, `unknown_office` or `not_in_exchange`.
    pub state: &'static str,
    /// What to do, in Japanese.
    pub next: &'static str,
}

/// The slips of a set, to be printed for a partner who is not connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedSlips {
    /// 送信元
    pub sender: OfficeNumber,
    /// Its name.
    pub sender_name: Option<String>,
    /// 宛先
    pub receiver: OfficeNumber,
    /// Its name, if it is registered.
    pub receiver_name: Option<String>,
    /// 第6・7表, one of each person.
    pub slips: Vec<ServiceSlip>,
}

/// A set that was read and is sound.
pub(crate) struct SlipSet {
    pub(crate) received: Received,
    pub(crate) documents: Vec<PlanDocument>,
    pub(crate) to: OfficeNumber,
    serial: String,
    types: String,
    content: SlipContent,
    month: Option<ServiceMonth>,
    warnings: Vec<Problem>,
}

impl SlipSet {
    pub(crate) fn people(&self) -> BTreeSet<PersonKey> {
        self.documents.iter().map(PlanDocument::person).collect()
    }
}

/// A message with what the caller is to it.
struct Own {
    slip: Slip,
    facts: SlipFacts,
    decision: SlipDecision,
}

impl Platform {
    /// The slips of a set the caller would send, to be printed; nothing of it is kept.
    pub async fn print_slips(
        &self,
        caller: &Caller,
        files: &Arc<Vec<(String, Vec<u8>)>>,
        context: &Context,
    ) -> Result<PrintedSlips, Error> {
        self.may_send_slips(caller, context)?;
        let (sender, _) = self.slip_office(caller, context)?;
        let to = files.iter().find_map(|(name, _)| PlanFileName::parse(name).ok()).map(|name| name.sending.receiver);
        let set = self.read_slips(caller, sender, to.unwrap_or(sender), files, context).await?;
        let entry = caller.entry(context, "slip.print", Outcome::Allowed);
        let people: Vec<String> = set.people().iter().map(|p| format!("{}{}", p.insurer, p.insured)).collect();
        let detail = Some(json!({ "to": set.to, "people": people }).to_string());
        self.store().audit().append(Entry { detail, ..entry }).await?;
        self.printed(sender, set)
    }

    /// The slips of a message, to be printed by its sender and, once fetched, its addressee.
    pub async fn print_slip(&self, caller: &Caller, id: &str, context: &Context) -> Result<PrintedSlips, Error> {
        let (slip, files) = self.own_files(caller, id, (SlipAct::Files, "slip.print"), context).await?;
        let set = self.read_slips(caller, slip.sender, slip.receiver, &Arc::new(files), context).await?;
        self.printed(slip.sender, set)
    }

    fn printed(&self, sender: OfficeNumber, set: SlipSet) -> Result<PrintedSlips, Error> {
        if set.received.slips.is_empty() {
            return Err(Error::item("files", "印刷できる第6表・第7表（UPPLAN・UPSIKYU・UPHOSOKU）がありません"));
        }
        let standing = self.standing();
        let name = |number| standing.office(number).map(|office| office.name.clone());
        Ok(PrintedSlips {
            sender,
            sender_name: name(sender),
            receiver: set.to,
            receiver_name: name(set.to),
            slips: set.received.slips.into_iter().map(|slip| slip.value).collect(),
        })
    }

    /// Whether the caller may send anything at all: asked before any of it is received.
    pub fn may_send_slips(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ExchangePlan, table)?;
        let may = |content| decide_slip(&new_facts(caller, content), table).is_allowed();
        if SlipContent::ALL.into_iter().any(may) { Ok(()) } else { Err(Error::rule(Rule::NotSlipSender, table)) }
    }

    /// Whether an office can be sent messages.
    pub fn reachable<E: From<Error>>(
        &self,
        caller: &Caller,
        office: Result<OfficeNumber, E>,
        context: &Context,
    ) -> Result<Reachable, E> {
        self.slip_office(caller, context)?;
        Ok(self.reachability(office?, self.table_at(context.now)?))
    }

    fn reachability(&self, number: OfficeNumber, table: &SharingTable) -> Reachable {
        let standing = self.standing();
        let office = standing.office(number);
        let class = office.map(|office| class_of(&office.service_types, office.is_hospital, table));
        let (state, next) = match class {
            None => (
                "unknown_office",
                "この事業所は基盤に登録されていません。番号を確かめてください。正しければ、印刷した提供票を渡してください",
            ),
            Some(class) if !may_receive_slips(class, table) => {
                ("not_in_exchange", "介護サービスを行わない医療機関には送れません。印刷した提供票を渡してください")
            }
            Some(_) if !standing.is_reachable(number) => (
                "not_connected",
                "この事業所はまだ接続していません（有効な電子証明書とアカウントがありません）。印刷した提供票を渡してください",
            ),
            Some(_) => ("connected", "送信できます"),
        };
        let name = office.map(|office| office.name.clone());
        Reachable { office: number, name, reachable: state == "connected", state, next }
    }

    /// Sends one set to one office. The same set again is answered as the first time and sent once.
    pub async fn send_slips<E: From<Error>>(
        &self,
        caller: &Caller,
        wanted: Result<SlipWanted, E>,
        files: &Arc<Vec<(String, Vec<u8>)>>,
        context: &Context,
    ) -> Result<SentSlip, E> {
        self.may_send_slips(caller, context)?;
        Ok(self.send_set(caller, wanted?, files, context).await?)
    }

    async fn send_set(
        &self,
        caller: &Caller,
        wanted: SlipWanted,
        files: &Arc<Vec<(String, Vec<u8>)>>,
        context: &Context,
    ) -> Result<SentSlip, Error> {
        let (sender, _) = self.slip_office(caller, context)?;
        let table = self.table_at(context.now)?;
        if wanted.to == sender {
            return Err(Error::item("to", "自らの事業所には送れません。宛先の事業所番号を確かめてください"));
        }
        let set = self.read_slips(caller, sender, wanted.to, files, context).await?;
        let facts = new_facts(caller, set.content);
        let decision = decide_slip(&facts, table);
        if !decision.is_allowed() {
            self.record_slip(caller, "slip.send", None, (facts, decision), context).await?;
            return Err(Error::rule(decision.rule(), table));
        }
        let reachable = self.reachability(wanted.to, table);
        if !reachable.reachable {
            return Err(Error::NotConnected(reachable.next));
        }
        let asked = match &wanted.reply_to {
            Some(id) => Some(self.answered_slip(caller, id, &set, context).await?),
            None => None,
        };
        let bytes = bundle(files);
        let digest = self.store().platform_keys().await?.digest(&bytes);
        // Twice: somebody else may send the same set at the same moment.
        for _ in 0..2 {
            if let Some(before) = self.sent_before(caller, sender, &set, &digest, context).await? {
                return Ok(before);
            }
            let new = NewSlip {
                id: random_id()?,
                sender,
                sent_by: caller.staff.id.clone(),
                receiver: wanted.to,
                sent_at: context.now,
                serial: number(&set.serial),
                types: set.types.clone(),
                content: set.content,
                month: set.month,
                reply_to: wanted.reply_to.clone(),
                digest,
                about: Vec::new(),
                files: bytes.clone(),
            };
            if let Some(sent) = self.put_set(caller, &set, new, asked.as_ref(), files, context).await? {
                return Ok(sent);
            }
        }
        Err(Error::Conflict(CHANGED))
    }

    /// The set, sound and between the right offices; otherwise every problem of it.
    async fn read_slips(
        &self,
        caller: &Caller,
        sender: OfficeNumber,
        to: OfficeNumber,
        files: &Arc<Vec<(String, Vec<u8>)>>,
        context: &Context,
    ) -> Result<SlipSet, Error> {
        // Elsewhere: a set of many people would keep others waiting.
        let (platform, read) = (self.clone(), Arc::clone(files));
        let (received, mut problems) = elsewhere(move || read_set_by(&read, platform.reading())).await?;
        // 第6表 against 第7表 is asked with what the platform knows besides (`slip_checks`), and told once.
        problems.retain(|problem| problem.rule != "table7_mismatch");
        let names: Vec<(&str, PlanFileName)> =
            files.iter().filter_map(|(name, _)| Some((name.as_str(), PlanFileName::parse(name).ok()?))).collect();
        let first = names.first().map(|(_, parsed)| parsed.clone());
        for (name, parsed) in &names {
            let is_first = |same: fn(&PlanFileName) -> String| first.as_ref().is_none_or(|f| same(f) == same(parsed));
            let rules: [(bool, &'static str, &'static str); 4] = [
                (parsed.sending.sender == sender, "sender", FOREIGN),
                (parsed.sending.receiver == to, "receiver", ELSEWHERE),
                (is_first(|name| name.sending.serial.clone()), "serial", SEVERAL),
                (is_first(|name| content_of(name.kind).code().to_owned()), "content", MIXED),
            ];
            let broken = rules.into_iter().filter(|(holds, ..)| !holds);
            problems.extend(broken.map(|(_, rule, text)| Problem::of_file(name, rule, text)));
        }
        problems.extend(
            files
                .iter()
                .filter(|(name, _)| !is_safe_name(name))
                .map(|(name, _)| Problem::of_file(name, "file_name", NOTHING)),
        );
        let standing = self.standing();
        let paying = |person: PersonKey| PersonKey {
            insurer: standing.paying_insurer(person.insurer, context.today()),
            ..person
        };
        let documents = named_documents(&received, caller.organization, &paying)?;
        let is_sound = !problems.iter().any(Problem::is_error);
        let Some(first) = first.filter(|_| is_sound && !documents.is_empty()) else {
            if is_sound {
                problems.push(Problem::of_file("", "empty", NOTHING));
            }
            return Err(Error::Files(problems.iter().map(ReportedProblem::of).collect()));
        };
        Ok(SlipSet {
            received,
            documents,
            to,
            month: names.iter().find_map(|(_, parsed)| parsed.month),
            content: content_of(first.kind),
            types: types_of(&first),
            serial: first.sending.serial,
            warnings: problems,
        })
    }

    /// The message that a set of results answers: sent to the caller by the set's addressee, and fetched.
    async fn answered_slip(&self, caller: &Caller, id: &str, set: &SlipSet, context: &Context) -> Result<Slip, Error> {
        let own = self.own_slip(caller, id, SlipAct::Answer, "slip.answer", context).await?;
        if own.slip.sender != set.to {
            return Err(Error::item("reply_to", "この送信の送信元と、宛先（to）の事業所が違います"));
        }
        if set.content != SlipContent::Actuals {
            return Err(Error::item("reply_to", "返信できるのは実績のファイル（UPJSK・DLTJSK）だけです"));
        }
        Ok(own.slip)
    }

    /// The same set sent before: its message. Another set under the same serial is refused.
    async fn sent_before(
        &self,
        caller: &Caller,
        sender: OfficeNumber,
        set: &SlipSet,
        digest: &[u8; 32],
        context: &Context,
    ) -> Result<Option<SentSlip>, Error> {
        let Some(slip) = self.store().slip_of_serial(set.to, sender, (number(&set.serial), &set.types)).await? else {
            return Ok(None);
        };
        if slip.digest != digest {
            return Err(Error::Conflict(OTHER_BYTES));
        }
        let entry = caller.entry(context, "slip.repeated", Outcome::Allowed);
        let entry = Entry { natural_key: Some(slip.id.clone()), ..entry };
        let sent = SentSlip { slip: self.slip_view(slip, SlipParty::Sender)?, repeated: true };
        self.record(entry, &sent, context).await?;
        Ok(Some(sent))
    }

    /// Checks a set and sends it; none when the same serial was sent meanwhile.
    async fn put_set(
        &self,
        caller: &Caller,
        set: &SlipSet,
        mut new: NewSlip,
        asked: Option<&Slip>,
        files: &Arc<Vec<(String, Vec<u8>)>>,
        context: &Context,
    ) -> Result<Option<SentSlip>, Error> {
        let Checked { warnings } = self.check_slips(caller, set, context).await?;
        let tokens = self.slip_tokens(&new, set).await?;
        let by_token: Vec<SlipDocument> = tokens
            .iter()
            .map(|(token, document)| SlipDocument { token: *token, withdraws: document.record.deleted })
            .collect();
        let mut tx = self.store().begin().await?;
        let (others, unknown) =
            tx.put_slip_documents((new.receiver, &new.id), new.serial, &by_token, context.now).await?;
        let mut problems: Vec<Problem> = set.warnings.iter().chain(&warnings).cloned().collect();
        problems.extend(unknown.iter().filter_map(|token| {
            let document = tokens.get(<&[u8; 32]>::try_from(token.as_slice()).ok()?)?;
            Some(document.problem("unknown_target", NOT_SENT_HERE).warning())
        }));
        // One of the same serial is the set of another サービス種類: neither comes after the other.
        let is_later = others.iter().any(|other| other.serial > new.serial);
        let earlier: Vec<OtherSlip> = others.into_iter().filter(|other| other.serial < new.serial).collect();
        if is_later {
            problems.push(Problem::of_file(&files[0].0, "superseded", SUPERSEDED).warning());
        }
        let about = About {
            people: set.people().len(),
            insured: set.people(),
            files: files.iter().map(|(name, bytes)| slip_file(name, bytes)).collect(),
            replaces: earlier.into_iter().map(|other| other.id).collect(),
            warnings: problems.iter().map(ReportedProblem::of).collect(),
        };
        new.about = serde_json::to_vec(&about).map_err(internal)?;
        if !tx.put_slip(&new).await? {
            return Ok(None);
        }
        if let Some(asked) = asked
            && !tx.answer_slip(asked, &new.id, context.now).await?
        {
            return Err(Error::Conflict(CHANGED));
        }
        let tell = Tell {
            to: Organization::Office(new.receiver),
            administrators: false,
            kind: NoticeKind::SlipReceived,
            about: None,
            facts: json!({ "slip": new.id, "sender": new.sender, "content": new.content.code() }),
            once: &new.id,
        };
        self.tell(&mut tx, tell, context).await?;
        let facts = new_facts(caller, new.content);
        let decision = decide_slip(&facts, self.table_at(context.now)?);
        let entry = self.slip_entry(caller, "slip.send", Some(&new.id), (facts, decision), context)?;
        let people: Vec<String> = set.people().iter().map(|p| format!("{}{}", p.insurer, p.insured)).collect();
        let detail = json!({ "to": new.receiver, "serial": set.serial, "people": people }).to_string();
        let slip = self.slip_view(
            Slip {
                id: new.id,
                sender: new.sender,
                sent_by: new.sent_by,
                receiver: new.receiver,
                sent_at: new.sent_at,
                serial: new.serial,
                content: new.content,
                month: new.month,
                state: SlipState::Sent,
                fetched_at: None,
                withdrawn_at: None,
                reply_to: new.reply_to,
                answer: None,
                digest: new.digest.to_vec(),
                about: new.about,
            },
            SlipParty::Sender,
        )?;
        let sent = SentSlip { slip, repeated: false };
        self.commit(tx, Entry { outcome: Outcome::Done, detail: Some(detail), ..entry }, &sent, context).await?;
        Ok(Some(sent))
    }

    /// The documents of a set under their blind index: the same document between the same offices has the same token.
    async fn slip_tokens<'s>(
        &self,
        new: &NewSlip,
        set: &'s SlipSet,
    ) -> Result<BTreeMap<[u8; 32], &'s PlanDocument>, Error> {
        let keys = self.store().platform_keys().await?;
        let token = |document: &PlanDocument| {
            let (person, key) = (document.person(), &document.record.natural_key);
            let text =
                format!("slip document|{}|{}|{}{}|{key}", new.receiver, new.sender, person.insurer, person.insured);
            keys.digest(text.as_bytes())
        };
        Ok(set.documents.iter().map(|document| (token(document), document)).collect())
    }

    /// Messages of one side of the caller's office, oldest first; `after` is the last of the page before.
    pub async fn slips<E: From<Error>>(
        &self,
        caller: &Caller,
        side: SlipSide,
        page: Result<SlipPage, E>,
        after: Option<&str>,
        context: &Context,
    ) -> Result<Vec<SlipView>, E> {
        let (office, _) = self.slip_office(caller, context)?;
        let page = page?;
        Ok(self.slip_list(caller, (side, office), page, after, context).await?)
    }

    async fn slip_list(
        &self,
        caller: &Caller,
        (side, office): (SlipSide, OfficeNumber),
        page: SlipPage,
        after: Option<&str>,
        context: &Context,
    ) -> Result<Vec<SlipView>, Error> {
        let table = self.table_at(context.now)?;
        let party = if side == SlipSide::Sent { SlipParty::Sender } else { SlipParty::Addressee };
        let last = match after {
            Some(id) => Some(self.store().slip(side, office, id).await?.ok_or(Error::Unknown)?),
            None => None,
        };
        let after = last.as_ref().map(|last| (last.sent_at, last.id.as_str()));
        let mut found = Vec::new();
        for state in SlipState::ALL.into_iter().filter(|state| page.state.is_none_or(|asked| asked == *state)) {
            let facts = SlipFacts { act: SlipAct::Read, party, state, ..new_facts(caller, SlipContent::Plan) };
            if decide_slip(&facts, table).is_allowed() {
                found.extend(self.store().slip_page(side, office, state, after, page.limit).await?);
            }
        }
        found.sort_by(|a, b| (a.sent_at, &a.id).cmp(&(b.sent_at, &b.id)));
        found.truncate(page.limit.max(0) as usize);
        let ids: Vec<&str> = found.iter().map(|slip| slip.id.as_str()).collect();
        let action = if side == SlipSide::Sent { "slips.sent" } else { "slips.received" };
        let detail = Some(json!({ "slips": ids }).to_string());
        let entry = Entry { detail, ..caller.entry(context, action, Outcome::Allowed) };
        self.store().audit().append(entry).await?;
        found.into_iter().map(|slip| self.slip_view(slip, party)).collect()
    }

    /// One message, without its files' bytes. It stays as it is: not fetched.
    pub async fn slip(&self, caller: &Caller, id: &str, context: &Context) -> Result<SlipView, Error> {
        let own = self.own_slip(caller, id, SlipAct::Read, "slip.view", context).await?;
        let party = own.facts.party;
        self.store().audit().append(self.own_entry(caller, "slip.view", &own, context)?).await?;
        self.slip_view(own.slip, party)
    }

    /// The addressee fetches a message; its sender sees when. Fetched again, it is recorded anew and nothing changes.
    pub async fn fetch_slip(&self, caller: &Caller, id: &str, context: &Context) -> Result<SlipView, Error> {
        // Twice: a colleague or the sender may be faster.
        for _ in 0..2 {
            let mut own = self.own_slip(caller, id, SlipAct::Fetch, "slip.fetch", context).await?;
            let entry = self.own_entry(caller, "slip.fetch", &own, context)?;
            let entry = Entry { outcome: Outcome::Done, ..entry };
            let mut tx = self.store().begin().await?;
            if own.slip.state == SlipState::Sent {
                if !tx.fetch_slip(&own.slip, &caller.staff.id, context.now).await? {
                    continue;
                }
                own.slip.state = SlipState::Fetched;
                own.slip.fetched_at = Some(context.now);
            }
            self.commit_repeatable(tx, entry, context).await?;
            return self.slip_view(own.slip, SlipParty::Addressee);
        }
        Err(Error::Conflict(CHANGED))
    }

    /// The bytes of one file of a message, for its sender and, once fetched, its addressee.
    pub async fn slip_file(&self, caller: &Caller, id: &str, name: &str, context: &Context) -> Result<Vec<u8>, Error> {
        let own = self.own_slip(caller, id, SlipAct::Files, "slip.file", context).await?;
        let files = self.files_of(&own.slip).await?;
        let found = files.into_iter().find(|(known, _)| known == name);
        let entry = self.own_entry(caller, "slip.file", &own, context)?;
        let outcome = if found.is_some() { Outcome::Allowed } else { Outcome::Failed };
        // A file that is not among them is no decision of the table.
        let facts = if found.is_some() { entry.facts } else { 0 };
        let detail = found.as_ref().map(|(name, _)| json!({ "file": name }).to_string());
        self.store().audit().append(Entry { outcome, facts, detail, ..entry }).await?;
        found.map(|(_, bytes)| bytes).ok_or(Error::Unknown)
    }

    /// A message with its files, for what is done with them as a whole.
    pub(crate) async fn own_files(
        &self,
        caller: &Caller,
        id: &str,
        (act, action): (SlipAct, &str),
        context: &Context,
    ) -> Result<(Slip, Vec<(String, Vec<u8>)>), Error> {
        let own = self.own_slip(caller, id, act, action, context).await?;
        let files = self.files_of(&own.slip).await?;
        self.store().audit().append(self.own_entry(caller, action, &own, context)?).await?;
        Ok((own.slip, files))
    }

    async fn files_of(&self, slip: &Slip) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let bytes = self.store().slip_files(slip).await?.ok_or(Error::Conflict(TAKEN_BACK))?;
        unbundle(&bytes).ok_or_else(|| Error::Internal("a bundle of files".to_owned()))
    }

    /// The sender takes a message back before it is fetched. Its content goes at once.
    pub async fn withdraw_slip(&self, caller: &Caller, id: &str, context: &Context) -> Result<SlipView, Error> {
        let mut own = self.own_slip(caller, id, SlipAct::Withdraw, "slip.withdraw", context).await?;
        let entry = self.own_entry(caller, "slip.withdraw", &own, context)?;
        let mut tx = self.store().begin().await?;
        if own.slip.state == SlipState::Sent {
            if !tx.withdraw_slip(&own.slip, context.now).await? {
                return Err(Error::Conflict(FETCHED));
            }
            if let Some(asked) = &own.slip.reply_to
                && let Some(asked) = self.store().slip(SlipSide::Received, own.slip.sender, asked).await?
            {
                tx.take_answer_back(&asked, &own.slip.id).await?;
            }
            // The addressee learns no more of it than if it had never been.
            let to = Organization::Office(own.slip.receiver);
            self.untell(&mut tx, to, (NoticeKind::SlipReceived, &own.slip.id)).await?;
            own.slip.state = SlipState::Withdrawn;
            own.slip.withdrawn_at = Some(context.now);
        }
        let view = self.slip_view(own.slip, SlipParty::Sender)?;
        self.commit(tx, Entry { outcome: Outcome::Done, ..entry }, &view, context).await?;
        Ok(view)
    }

    /// The caller's office, if it takes part in the exchange by this way in.
    fn slip_office(&self, caller: &Caller, context: &Context) -> Result<(OfficeNumber, OfficeClass), Error> {
        caller.require_way(UseCase::ExchangePlan, self.table_at(context.now)?)?;
        caller.office.as_ref().map(|(office, class)| (office.number, *class)).ok_or(Error::Unknown)
    }

    /// A message of the caller's office with which it may do this. Of anybody else's it learns nothing, and what is refused
    /// is recorded.
    async fn own_slip(
        &self,
        caller: &Caller,
        id: &str,
        act: SlipAct,
        action: &str,
        context: &Context,
    ) -> Result<Own, Error> {
        let table = self.table_at(context.now)?;
        let (office, _) = self.slip_office(caller, context)?;
        let mut found = self.store().slip(SlipSide::Received, office, id).await?;
        let mut party = SlipParty::Addressee;
        if found.is_none() {
            (found, party) = (self.store().slip(SlipSide::Sent, office, id).await?, SlipParty::Sender);
        }
        let base = SlipFacts { act, ..new_facts(caller, SlipContent::Plan) };
        let facts = match &found {
            Some(slip) => SlipFacts { party, state: slip.state, content: slip.content, ..base },
            None => SlipFacts { party: SlipParty::Nobody, ..base },
        };
        let decision = decide_slip(&facts, table);
        if let Some(slip) = found.as_ref().filter(|_| decision.is_allowed()) {
            if self.holds_hidden(caller, slip).await? {
                let entry = self.slip_entry(caller, action, Some(&slip.id), (facts, decision), context)?;
                // What the office itself hides is no decision of the table of the exchange.
                let rule = Some(Rule::SwitchedOff.code().to_owned());
                self.store().audit().append(Entry { outcome: Outcome::Refused, rule, facts: 0, ..entry }).await?;
                return Err(Error::Unknown);
            }
            return Ok(Own { slip: slip.clone(), facts, decision });
        }
        let id = found.as_ref().map(|slip| slip.id.as_str());
        self.record_slip(caller, action, id, (facts, decision), context).await?;
        Err(match (decision.disclosure(), act, facts.state) {
            (Disclosure::Blind, ..) => Error::Unknown,
            (_, _, SlipState::Withdrawn) => Error::Conflict(TAKEN_BACK),
            (_, SlipAct::Withdraw, _) if party == SlipParty::Sender => Error::Conflict(FETCHED),
            (_, SlipAct::Files | SlipAct::Answer, SlipState::Sent) => Error::Conflict(FETCH_FIRST),
            _ => Error::rule(decision.rule(), table),
        })
    }

    /// Whether the caller's office hides somebody in it from the caller, or that person's plans (P-014).
    async fn holds_hidden(&self, caller: &Caller, slip: &Slip) -> Result<bool, Error> {
        let about: About = serde_json::from_slice(&slip.about).map_err(internal)?;
        let people: Vec<PersonKey> = about.insured.into_iter().collect();
        let asker = Asker {
            organization: caller.organization,
            office: caller.organization.office(),
            staff: Some(&caller.staff.id),
        };
        let facts = self.store().people_facts_with(&people, asker, &[], false).await?;
        let hides_plans = |kinds: &BTreeSet<Kind>| kinds.contains(&Kind::Cp1) || kinds.contains(&Kind::Cp2);
        Ok(facts.iter().any(|(facts, _)| facts.switched_off || hides_plans(&facts.switched_off_kinds)))
    }

    /// Records a refusal.
    async fn record_slip(
        &self,
        caller: &Caller,
        action: &str,
        id: Option<&str>,
        decided: (SlipFacts, SlipDecision),
        context: &Context,
    ) -> Result<(), Error> {
        let entry = self.slip_entry(caller, action, id, decided, context)?;
        Ok(self.store().audit().append(entry).await.map(drop)?)
    }

    fn own_entry(&self, caller: &Caller, action: &str, own: &Own, context: &Context) -> Result<Entry, Error> {
        self.slip_entry(caller, action, Some(&own.slip.id), (own.facts, own.decision), context)
    }

    /// The entry of a decision about a message, under no insurer.
    fn slip_entry(
        &self,
        caller: &Caller,
        action: &str,
        id: Option<&str>,
        (facts, decision): (SlipFacts, SlipDecision),
        context: &Context,
    ) -> Result<Entry, Error> {
        let outcome = if decision.is_allowed() { Outcome::Allowed } else { Outcome::Refused };
        Ok(Entry {
            natural_key: id.map(str::to_owned),
            rule: Some(decision.rule().code().to_owned()),
            policy_version: Some(self.table_at(context.now)?.version()),
            facts: facts.to_bits(),
            ..caller.entry(context, action, outcome)
        })
    }

    fn slip_view(&self, slip: Slip, party: SlipParty) -> Result<SlipView, Error> {
        let about: About = serde_json::from_slice(&slip.about).map_err(internal)?;
        let standing = self.standing();
        let name = |number| standing.office(number).map(|office| office.name.clone());
        let is_sender = party == SlipParty::Sender;
        let (answer, answered_at) = slip.answer.unzip();
        Ok(SlipView {
            sender_name: name(slip.sender),
            receiver_name: name(slip.receiver),
            serial: format!("{:014}", slip.serial),
            content_name: slip.content.name_ja(),
            state_name: slip.state.name_ja(),
            slip: slip.id,
            sender: slip.sender,
            receiver: slip.receiver,
            content: slip.content,
            month: slip.month,
            state: slip.state,
            sent_at: slip.sent_at,
            fetched_at: slip.fetched_at,
            withdrawn_at: slip.withdrawn_at,
            reply_to: slip.reply_to,
            answer,
            answered_at,
            replaces: about.replaces,
            people: about.people,
            files: about.files,
            warnings: if is_sender { about.warnings } else { Vec::new() },
        })
    }

    /// 同意・確認用登録 is not offered (P-144): the table opens no way for it, and says so.
    pub fn confirm_plan(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        let table = self.table_at(context.now)?;
        let open = kiban_policy::way_allows(caller.way, UseCase::ConfirmPlan, table);
        // There is nothing behind it yet: a table that opens it changes no answer.
        Err(if open { Error::Unavailable("confirm_plan".to_owned()) } else { Error::rule(Rule::NotOffered, table) })
    }

    /// 交付用登録 (P-143): the plan of a message the caller sent becomes a record (CP1) with the day on which the person agreed.
    /// From then on the sharing table says who sees it; earlier plans stay.
    pub async fn register_slip<E: From<Error>>(
        &self,
        caller: &Caller,
        id: &str,
        agreed_on: Result<Date, E>,
        context: &Context,
    ) -> Result<crate::IntakeResult, E> {
        self.may_send_plans(caller, context)?;
        let (_, files) = self.own_files(caller, id, (SlipAct::Register, "slip.register"), context).await?;
        let agreed_on = agreed_on?;
        if agreed_on > context.today() {
            return Err(Error::item("agreed_on", "同意の日は今日までの日にしてください").into());
        }
        Ok(self.import_agreed_plans(caller, files, Some(agreed_on), context).await?)
    }
}

/// Facts of a message the caller is about to send.
fn new_facts(caller: &Caller, content: SlipContent) -> SlipFacts {
    SlipFacts {
        act: SlipAct::Send,
        party: SlipParty::Sender,
        state: SlipState::Sent,
        content,
        class: caller.office.as_ref().map(|(_, class)| *class),
        session_valid: true,
    }
}

fn content_of(kind: PlanFileKind) -> SlipContent {
    match kind {
        PlanFileKind::Actuals | PlanFileKind::WithdrawActuals => SlipContent::Actuals,
        _ => SlipContent::Plan,
    }
}

fn slip_file(name: &str, bytes: &[u8]) -> SlipFile {
    let sha256 = hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    SlipFile { name: name.to_owned(), size: bytes.len(), sha256 }
}

/// サービス種類 of both offices in a name, none of 202208.
fn types_of(name: &PlanFileName) -> String {
    let types = [name.sending.sender_type, name.sending.receiver_type].into_iter().flatten();
    types.map(|service| service.to_string()).collect::<Vec<_>>().join(" ")
}

/// 14 digits; the name was read, so they are.
fn number(serial: &str) -> i64 {
    serial.parse().unwrap_or_default()
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(error.to_string())
}

/// Inverse of [`bundle`].
fn unbundle(mut bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
        bytes = rest;
        Some((part.to_vec(), rest.is_empty()))
    };
    let mut files = Vec::new();
    loop {
        let (name, _) = part()?;
        let (content, is_last) = part()?;
        files.push((String::from_utf8(name).ok()?, content));
        if is_last {
            return Some(files);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_out_of_their_bundle_byte_for_byte() {
        let files = vec![("A.CSV".to_owned(), b"\x82\xa0,1\r\n".to_vec()), ("B.CSV".to_owned(), Vec::new())];
        assert_eq!(unbundle(&bundle(&files)), Some(files.clone()));
        let whole = bundle(&files);
        assert_eq!(unbundle(&whole[..whole.len() - 1]), None);
    }
}
