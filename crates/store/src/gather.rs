//! Everything one decision needs about a person, and what it may open, in one question; and the questions of many requests
//! that wait at the same moment in one statement. A statement has a fixed cost (a round trip, two wake-ups, setting up eight
//! small searches) several times that of one more person in it, so the more waits, the less each costs. No timer: a question
//! that finds nobody waiting is asked at once, and those that come meanwhile go together in the next one.

use crate::StoreError;
use crate::engine::{Arg, Engine, Row};
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, PersonKey};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Statements under way at the same time: at least so many, more on a machine with more cores.
const AT_ONCE: usize = 2;
/// Questions waiting at most; beyond that the answer is "unavailable" (decision 0006.29).
const MOST_WAITING: usize = 1024;
/// A question waits so long at most until its statement begins.
const PATIENCE: Duration = Duration::from_secs(2);
/// People in one statement; the places left over are filled with one of them again, which costs nothing.
const SIZES: [usize; 5] = [1, 2, 4, 8, 16];
/// The same when all their records are wanted, which may be many.
const MOST_OF_EVERYTHING: usize = 4;
/// Kinds that may be named in a question.
const KINDS: usize = 4;

/// What is wanted of a person besides the facts of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) records: Records,
    /// The sealed identity.
    pub(crate) identity: bool,
}

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Records {
    None,
    /// Of these kinds; the same one again fills the places left over.
    Of([Kind; KINDS]),
    All,
}

impl Wanted {
    pub(crate) const FACTS: Self = Self { records: Records::None, identity: false };

    /// Records of these kinds. More kinds than can be named are asked for as all kinds.
    pub(crate) fn records(kinds: &[Kind]) -> Self {
        let records = match *kinds {
            [] => Records::None,
            [one] => Records::Of([one; KINDS]),
            [one, two] => Records::Of([one, two, two, two]),
            [one, two, three] => Records::Of([one, two, three, three]),
            [one, two, three, four] => Records::Of([one, two, three, four]),
            _ => Records::All,
        };
        Self { records, identity: false }
    }
}

/// Rows about one person, as [`columns`] names their columns. People asked for twice at the same moment share them, those of
/// the insurer all who asked in one statement; a row is read by one thread at a time.
#[derive(Debug, Clone)]
pub(crate) struct Gathered {
    own: Shared,
    of_insurer: Shared,
}

type Shared = Arc<Mutex<Vec<Row>>>;

impl Gathered {
    /// Reads each row, first those of the person.
    pub(crate) fn each(&self, mut read: impl FnMut(&Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for rows in [&self.own, &self.of_insurer] {
            rows.lock().unwrap_or_else(PoisonError::into_inner).iter().try_for_each(&mut read)?;
        }
        Ok(())
    }
}

/// Asks for many at once.
#[derive(Debug)]
pub(crate) struct Gatherer {
    engine: Engine,
    at_once: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Tasks that take from it.
    at_work: usize,
}

#[derive(Debug)]
struct Waiting {
    person: PersonKey,
    wanted: Wanted,
    since: Instant,
    reply: oneshot::Sender<Result<Gathered, StoreError>>,
}

impl Gatherer {
    pub(crate) fn new(engine: Engine) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(AT_ONCE, usize::from);
        Arc::new(Self { engine, at_once: cores.max(AT_ONCE), queue: Mutex::default() })
    }

    /// What is stored about a person at some moment after this call.
    pub(crate) async fn ask(self: &Arc<Self>, person: PersonKey, wanted: Wanted) -> Result<Gathered, StoreError> {
        let mut answers = self.ask_many(&[person], wanted).await?;
        answers.pop().ok_or_else(|| unavailable("a question was lost"))
    }

    /// The same about many people, in their order: those of one insurer go together, as many as a statement takes.
    pub(crate) async fn ask_many(
        self: &Arc<Self>,
        people: &[PersonKey],
        wanted: Wanted,
    ) -> Result<Vec<Gathered>, StoreError> {
        let (mut waiting, mut answers) = (Vec::with_capacity(people.len()), Vec::with_capacity(people.len()));
        for person in people {
            let (reply, answer) = oneshot::channel();
            waiting.push(Waiting { person: *person, wanted, since: Instant::now(), reply });
            answers.push(answer);
        }
        if self.enqueue(waiting)? {
            tokio::spawn(Worker { gatherer: Arc::clone(self), is_counted: true }.work());
        }
        let mut gathered = Vec::with_capacity(people.len());
        for answer in answers {
            gathered.push(answer.await.unwrap_or_else(|_| Err(unavailable("a question was lost")))?);
        }
        Ok(gathered)
    }

    /// Whether another worker is needed, who is counted already.
    fn enqueue(&self, waiting: Vec<Waiting>) -> Result<bool, StoreError> {
        let mut queue = self.queue();
        if queue.waiting.len() >= MOST_WAITING {
            return Err(unavailable("too many questions are waiting"));
        }
        queue.waiting.extend(waiting);
        let needed = queue.at_work < self.at_once;
        queue.at_work += usize::from(needed);
        Ok(needed)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, batch: Vec<Waiting>) {
        let (ready, late): (Vec<_>, Vec<_>) = batch.into_iter().partition(|w| w.since.elapsed() < PATIENCE);
        refuse(late, &unavailable("the database is too slow"));
        let Some(first) = ready.first() else { return };
        let asked = self.gather(first.person.insurer, first.wanted, &ready).await;
        match asked {
            Ok(found) => {
                for Waiting { person, reply, .. } in ready {
                    let own = found.own.get(person.insured.as_str()).cloned().unwrap_or_default();
                    let _ = reply.send(Ok(Gathered { own, of_insurer: Arc::clone(&found.of_insurer) }));
                }
            }
            Err(error) => refuse(ready, &error),
        }
    }

    async fn gather(&self, insurer: InsurerNumber, wanted: Wanted, asked: &[Waiting]) -> Result<Found, StoreError> {
        let people: Vec<InsuredNumber> = asked.iter().map(|waiting| waiting.person.insured).collect();
        let statement = statement(wanted, people.len());
        let last = people.last().into_iter().cycle();
        let mut args = vec![Arg::from(insurer.as_str())];
        args.extend(people.iter().chain(last).take(statement.people).map(|number| Arg::from(number.as_str())));
        if let Records::Of(kinds) = wanted.records {
            args.extend(kinds.iter().map(|kind| Arg::from(kind.code())));
        }
        Found::of(self.engine.rows(&statement.sql, &args).await?)
    }
}

/// Takes what waits until nothing does.
struct Worker {
    gatherer: Arc<Gatherer>,
    is_counted: bool,
}

impl Worker {
    async fn work(mut self) {
        while let Some(batch) = self.next() {
            self.gatherer.answer(batch).await;
        }
    }

    /// The question that waits longest and those like it; `None` ends this worker.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut queue = self.gatherer.queue();
        let Some(first) = queue.waiting.pop_front() else {
            // Under the same lock as the look: whoever puts a question next sees that a worker is needed.
            queue.at_work -= 1;
            self.is_counted = false;
            return None;
        };
        let key = (first.person.insurer, first.wanted);
        let most = if key.1.records == Records::All { MOST_OF_EVERYTHING } else { SIZES[SIZES.len() - 1] };
        let mut batch = vec![first];
        let mut left = VecDeque::with_capacity(queue.waiting.len());
        for waiting in queue.waiting.drain(..) {
            if batch.len() < most && (waiting.person.insurer, waiting.wanted) == key {
                batch.push(waiting);
            } else {
                left.push_back(waiting);
            }
        }
        queue.waiting = left;
        Some(batch)
    }
}

impl Drop for Worker {
    /// Only after a panic: its place must not stay taken.
    fn drop(&mut self) {
        if self.is_counted {
            self.gatherer.queue().at_work -= 1;
        }
    }
}

fn refuse(waiting: Vec<Waiting>, error: &StoreError) {
    for waiting in waiting {
        let _ = waiting.reply.send(Err(error.clone()));
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

/// Rows by the person they are about.
struct Found {
    own: HashMap<String, Shared>,
    of_insurer: Shared,
}

impl Found {
    fn of(rows: Vec<Row>) -> Result<Self, StoreError> {
        let (mut own, mut of_insurer) = (HashMap::<String, Vec<Row>>::new(), Vec::new());
        for row in rows {
            match row.text_ref(columns::WHO)? {
                "" => of_insurer.push(row),
                who => match own.get_mut(who) {
                    Some(rows) => rows.push(row),
                    None => {
                        own.insert(who.to_owned(), vec![row]);
                    }
                },
            }
        }
        let own = own.into_iter().map(|(who, rows)| (who, Arc::new(Mutex::new(rows)))).collect();
        Ok(Self { own, of_insurer: Arc::new(Mutex::new(of_insurer)) })
    }
}

/// Where the columns of a gathered row stand.
pub(crate) mod columns {
    /// 被保険者番号; empty for what concerns the insurer.
    pub(crate) const WHO: usize = 0;
    /// Which question the row answers, see [`super::what`].
    pub(crate) const WHAT: usize = 1;
    /// Five texts.
    pub(crate) const TEXT: usize = 2;
    /// Four numbers.
    pub(crate) const NUMBER: usize = 7;
    /// A flag.
    pub(crate) const FLAG: usize = 11;
    /// MAC of a door, digest of a record.
    pub(crate) const CODE: usize = 12;
    /// Sealed content.
    pub(crate) const SEALED: usize = 13;
}

/// Which of the questions a row answers.
pub(crate) mod what {
    pub(crate) const PERSON: i32 = 1;
    pub(crate) const INSURER: i32 = 2;
    pub(crate) const ASSIGNMENT: i32 = 3;
    pub(crate) const REQUEST: i32 = 4;
    pub(crate) const CONSENT: i32 = 5;
    pub(crate) const SWITCH: i32 = 6;
    pub(crate) const RECEIPTS: i32 = 7;
    pub(crate) const RECORD: i32 = 8;
}

struct Statement {
    shape: (Shape, bool),
    people: usize,
    sql: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Facts,
    OfKinds,
    All,
}

static STATEMENTS: LazyLock<Vec<Statement>> = LazyLock::new(|| {
    let shapes = [Shape::Facts, Shape::OfKinds, Shape::All];
    let shapes = shapes.into_iter().flat_map(|shape| [(shape, false), (shape, true)]);
    let sized = shapes.flat_map(|shape| SIZES.into_iter().map(move |people| (shape, people)));
    sized.map(|(shape, people)| Statement { shape, people, sql: text(shape.0, shape.1, people) }).collect()
});

/// The statement for so many people, or a few more.
fn statement(wanted: Wanted, people: usize) -> &'static Statement {
    let shape = match wanted.records {
        Records::None => Shape::Facts,
        Records::Of(_) => Shape::OfKinds,
        Records::All => Shape::All,
    };
    let mut fitting = STATEMENTS.iter().filter(|statement| statement.shape == (shape, wanted.identity));
    let enough = fitting.clone().find(|statement| statement.people >= people);
    // There is one for the most people a batch can have.
    enough.or_else(|| fitting.next_back()).unwrap_or(&STATEMENTS[0])
}

/// Statements that must never read a whole table.
#[cfg(test)]
pub(crate) fn all() -> Vec<&'static str> {
    STATEMENTS.iter().map(|statement| statement.sql.as_str()).collect()
}

/// `$1` is the insurer, then come the people, then the kinds. A person's rows are few in every table, so the office and the
/// staff member are picked from them afterwards.
fn text(shape: Shape, identity: bool, people: usize) -> String {
    let numbers =
        |from: usize, count: usize| (from..from + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    let these = format!("t.insurer_number = $1 AND t.insured_number IN ({})", numbers(2, people));
    let identity = if identity { "t.identity" } else { "CAST(NULL AS BYTEA)" };
    let none = "CAST(NULL AS TEXT)";
    let mut sql = format!(
        "SELECT t.insured_number AS who, 1 AS what, t.card_insurer AS t1, {none} AS t2, {none} AS t3, {none} AS t4, {none} AS t5, \
           CAST(t.gone_on AS BIGINT) AS n1, t.revision AS n2, t.history_number AS n3, CAST(t.lifts AS BIGINT) AS n4, t.withheld AS flag, t.mac AS code, \
           {identity} AS sealed FROM person t WHERE {these}
         UNION ALL SELECT '', 2, t.start_state, NULL, NULL, NULL, NULL, t.start_on, NULL, NULL, NULL, false, t.mac, NULL \
           FROM insurer t WHERE t.insurer_number = $1
         UNION ALL SELECT t.insured_number, 3, t.office_number, t.identity_check, t.registered_by, t.plan_maker, t.end_reason, \
           t.registered_at, t.viewable_until, t.ended_at, NULL, t.confirmed, t.mac, NULL FROM assignment t WHERE {these}
         UNION ALL SELECT t.insured_number, 4, t.office_number, t.natural_key, NULL, NULL, NULL, \
           t.requested_on, t.applied_on, t.revision, NULL, false, t.mac, NULL FROM opinion_request t WHERE {these}
         UNION ALL SELECT t.insured_number, 5, t.act_id, t.act, t.kind, NULL, NULL, \
           t.acted_at, t.revision, NULL, NULL, false, t.mac, NULL FROM consent_act t WHERE {these}
         UNION ALL SELECT t.insured_number, 6, t.organization, t.staff_id, t.kinds, t.changed_by, NULL, \
           t.changed_at, NULL, NULL, NULL, t.hidden, t.mac, NULL FROM staff_switch t WHERE {these}
         UNION ALL SELECT '', 7, t.open_receipts, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, t.mac, NULL \
           FROM receipt_counter t WHERE t.insurer_number = $1"
    );
    let kinds = match shape {
        Shape::Facts => return sql,
        Shape::OfKinds => format!(" AND t.kind IN ({})", numbers(people + 2, KINDS)),
        Shape::All => String::new(),
    };
    let _ = write!(
        sql,
        "
         UNION ALL SELECT t.insured_number, 8, t.natural_key, t.creator, t.kind, NULL, NULL, \
           t.revision, t.recorded_at, t.valid_from, t.valid_to, t.deleted, t.digest, t.payload FROM record t WHERE {these}{kinds}"
    );
    sql
}
