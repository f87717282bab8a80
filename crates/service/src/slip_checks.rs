//! What a set of plans or slips should be looked at for before it goes out (P-142): warnings for its sender, never a change
//! of the files. What the platform holds is compared only where the sender may see it by the sharing table, and that it was
//! looked at is recorded with the person like any other look.

use crate::decision::{Case, Question};
use crate::slips::SlipSet;
use crate::start::not_started;
use crate::{Caller, Context, Error, Platform};
use kiban_domain::care_plan::preventive::{BasicInformation, PreventivePlan, SupportLevel};
use kiban_domain::care_plan::{
    CarePlan, Coverage, PlanWithdrawal, PlannedService, ServiceActuals, ServiceSlip, SlipLine, Table7Line,
    managed_units,
};
use kiban_domain::certification::CareLevel;
use kiban_domain::dates::{Period, yyyymmdd};
use kiban_domain::insurance_card::{CertifiedLevel, InsuranceCard};
use kiban_domain::limits::limit_units;
use kiban_domain::{Date, InsurerNumber, Kind, OfficeNumber, Organization, PersonKey, ServiceType};
use kiban_formats::Problem;
use kiban_formats::care_plan::{Origin, Sent};
use kiban_policy::{Decision, SharingTable, service_type_rule, service_type_rules};
use kiban_store::{Entry, Outcome, StoredRecord, UnopenedPerson, Unreleased};
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinSet;

const NOT_FOR_RECEIVER: &str =
    "この利用者には、宛先の事業所のサービスがありません。別の事業所の利用者が混ざっていないか確かめてください";
const NOT_OWN_RESULTS: &str =
    "この利用者には、送信元の事業所の実績がありません。サービス事業者コードを確かめてください";
const NOT_IN_TABLE7: &str = "第6表にあるこのサービスコードが、第7表にありません。第7表を作り直してください";
const NOT_IN_TABLE6: &str = "第7表にあるこのサービスコードが、第6表にありません。第6表を確かめてください";
const OUTSIDE_PLAN: &str = "計画の第2表にないサービスです。計画を変更するか、サービスコードと事業所を確かめてください";
const NOT_REGISTERED: &str =
    "この利用者は、この事業所の担当利用者として登録されていません（送信はできます）。番号を確かめてください";
const RECEIVER_NOT_REGISTERED: &str =
    "宛先の事業所は、この利用者の担当事業所として登録されていません（送信はできます）。宛先と利用者を確かめてください";
const NOT_CERTIFIED: &str = "被保険者証の認定の有効期間に、この月がありません。更新・区分変更の状況を確かめてください";
const OTHER_LEVEL: &str = "被保険者証の要介護状態区分と違います。被保険者証を確かめてください";
const OTHER_LIMIT: &str = "被保険者証の区分支給限度基準額と違います。被保険者証を確かめてください";
const OTHER_PERIOD: &str = "被保険者証の認定の有効期間（限度額適用期間）と違います。被保険者証を確かめてください";
const EXPIRED: &str = "認定の有効期間（限度額適用期間）に、この月がありません。期間を確かめてください";
const EXPIRED_PLAN: &str = "認定の有効期間が終わっています。更新の状況を確かめてください";

/// People asked about, and recorded, together.
const TOGETHER: usize = 100;

/// What was found.
pub(crate) struct Checked {
    pub(crate) warnings: Vec<Problem>,
}

/// A document of a set.
#[derive(Clone, Copy)]
enum Part<'s> {
    Plan(&'s Sent<CarePlan>),
    Slip(&'s Sent<ServiceSlip>),
    Actuals(&'s Sent<ServiceActuals>),
    Basic(&'s Sent<BasicInformation>),
    Preventive(&'s Sent<PreventivePlan>),
    Withdrawal(&'s Sent<PlanWithdrawal>),
}

impl<'s> Part<'s> {
    fn of(set: &'s SlipSet) -> Vec<Self> {
        let received = &set.received;
        let plans = received.plans.iter().map(Self::Plan);
        let (slips, actuals) = (received.slips.iter().map(Self::Slip), received.actuals.iter().map(Self::Actuals));
        let basics = received.basics.iter().map(Self::Basic);
        let preventive = received.preventive_plans.iter().map(Self::Preventive);
        let withdrawals = received.withdrawals.iter().map(Self::Withdrawal);
        plans.chain(slips).chain(actuals).chain(basics).chain(preventive).chain(withdrawals).collect()
    }

    /// As the files name it.
    fn person(self) -> PersonKey {
        match self {
            Self::Plan(plan) => plan.person,
            Self::Slip(slip) => slip.person,
            Self::Actuals(actuals) => actuals.person,
            Self::Basic(basic) => basic.person,
            Self::Preventive(plan) => plan.person,
            Self::Withdrawal(withdrawal) => withdrawal.person(),
        }
    }

    fn origin(self) -> &'s Origin {
        match self {
            Self::Plan(plan) => &plan.origin,
            Self::Slip(slip) => &slip.origin,
            Self::Actuals(actuals) => &actuals.origin,
            Self::Basic(basic) => &basic.origin,
            Self::Preventive(plan) => &plan.origin,
            Self::Withdrawal(withdrawal) => &withdrawal.origin,
        }
    }

    /// A warning at its first row, quoting the person.
    fn warn(self, rule: &'static str, text: impl Into<String>) -> Problem {
        let number = self.person().insured.to_string();
        self.warn_at("insured", &number, rule, text)
    }

    fn warn_at(self, key: &str, found: &str, rule: &'static str, text: impl Into<String>) -> Problem {
        self.origin().problem(key, found, rule, text).warning()
    }

    /// Days on which a certification is needed; none of what a withdrawal takes back.
    fn days(self, today: Date) -> Option<(Date, Date)> {
        match self {
            Self::Plan(_) | Self::Basic(_) | Self::Preventive(_) => Some((today, today)),
            Self::Slip(slip) => Some((slip.month.first_day(), slip.month.last_day())),
            Self::Actuals(actuals) => Some((actuals.month.first_day(), actuals.month.last_day())),
            Self::Withdrawal(_) => None,
        }
    }

    /// 要介護状態区分, and the code the file has for it. 地域支援事業 of 支援計画書 is none.
    fn level(self) -> Option<(CareLevel, &'static str)> {
        let level = match self {
            Self::Plan(plan) => plan.table1.level,
            Self::Slip(slip) => slip.supplement.as_ref().and_then(|s| s.level),
            Self::Basic(basic) => basic.items.level,
            Self::Preventive(plan) => {
                let level = plan.items.level?;
                return match level {
                    SupportLevel::Support1 => Some((CareLevel::Support1, level.code())),
                    SupportLevel::Support2 => Some((CareLevel::Support2, level.code())),
                    SupportLevel::CommunityProgram => None,
                };
            }
            Self::Actuals(_) | Self::Withdrawal(_) => None,
        };
        level.map(|level| (level, level.code()))
    }

    /// 認定の有効期間 of a plan, 限度額適用期間 of a slip: first and last day, as far as they stand there, and the item of the first.
    fn period(self) -> (Option<Date>, Option<Date>, &'static str) {
        match self {
            Self::Plan(plan) => (plan.table1.valid_from, plan.table1.valid_to, "valid_from"),
            Self::Basic(basic) => (basic.items.valid_from, basic.items.valid_to, "valid_from"),
            Self::Preventive(plan) => (plan.items.valid_from, plan.items.valid_to, "valid_from"),
            Self::Slip(slip) => {
                let days = slip.supplement.as_ref().map_or((None, None), |s| (s.limit_from, s.limit_to));
                (days.0, days.1, "limit_from")
            }
            Self::Actuals(_) | Self::Withdrawal(_) => (None, None, ""),
        }
    }

    fn limit(self) -> Option<i32> {
        match self {
            Self::Slip(slip) => slip.supplement.as_ref().and_then(|s| s.limit_units),
            _ => None,
        }
    }
}

impl Platform {
    /// Everything about a set that its sender should look at.
    pub(crate) async fn check_slips(
        &self,
        caller: &Caller,
        set: &SlipSet,
        context: &Context,
    ) -> Result<Checked, Error> {
        let sender = caller.organization.office();
        let table = self.table_at(context.now)?;
        let parts = Part::of(set);
        let plans = PlansOfSet::of(set);
        let mut warnings = Vec::new();
        for part in &parts {
            match part {
                Part::Plan(plan) => {
                    warnings.extend(not_for_receiver(*part, plan, set.to));
                    warnings.extend(expired(*part, context.today()));
                }
                Part::Basic(_) | Part::Preventive(_) => warnings.extend(expired(*part, context.today())),
                Part::Withdrawal(_) => {}
                Part::Slip(slip) => {
                    check_slip(*part, slip, set.to, &mut warnings);
                    if let Some(plan) = plans.for_slip(slip) {
                        warnings.extend(outside_plan(*part, &slip.lines, plan, table));
                    }
                }
                Part::Actuals(actuals) => {
                    if !actuals.lines.iter().any(|line| Some(line.office) == sender) {
                        warnings.push(part.warn("not_own_results", NOT_OWN_RESULTS));
                    }
                }
            }
        }
        warnings.extend(self.compare_slips(caller, set, (&parts, &plans), context).await?);
        Ok(Checked { warnings })
    }

    /// What differs from what the platform holds about the people of a set. One entry for each kind looked at, with everybody
    /// whose it was: each of them finds the look. Not for which message: that is between two offices.
    async fn compare_slips(
        &self,
        caller: &Caller,
        set: &SlipSet,
        (parts, plans): (&[Part<'_>], &PlansOfSet<'_>),
        context: &Context,
    ) -> Result<Vec<Problem>, Error> {
        let standing = self.standing();
        let mut people: BTreeMap<PersonKey, Vec<Part<'_>>> = BTreeMap::new();
        for part in parts {
            let person = part.person();
            let insurer = standing.paying_insurer(person.insurer, context.today());
            people.entry(PersonKey { insurer, ..person }).or_default().push(*part);
        }
        let everybody: Vec<PersonKey> = people.keys().copied().collect();
        let mut warnings = Vec::new();
        for some in everybody.chunks(TOGETHER) {
            let mut looks = Looks::new();
            for (person, known) in self.known_people(caller, some, set.to, context).await? {
                let parts = people.get(&person).map_or(&[][..], Vec::as_slice);
                warnings.extend(compare_person(caller, &known, (parts, plans), &mut looks, context)?);
            }
            let looks = looks.into_iter().map(|((insurer, kind), (found, subjects))| {
                let entry = caller.entry(context, "compare", Outcome::Allowed);
                let kind = Some(kind.code().to_owned());
                (found, Entry { insurer: Some(insurer.to_string()), kind, subjects, ..entry })
            });
            let found = self.store().audit().release_all(looks.collect()).await?;
            warnings.extend(found.into_iter().flatten());
        }
        Ok(warnings)
    }

    /// The facts about several people, asked for at the same time: what waits together goes in one statement.
    async fn known_people(
        &self,
        caller: &Caller,
        people: &[PersonKey],
        to: OfficeNumber,
        context: &Context,
    ) -> Result<BTreeMap<PersonKey, Known>, Error> {
        let mut asked = JoinSet::new();
        for person in people {
            let (platform, caller, person, context) = (self.clone(), caller.clone(), *person, context.clone());
            asked.spawn(async move {
                let kinds = [Kind::A3a, Kind::Cp1];
                let (case, unopened) = platform.case_with(&caller, person, (&kinds, false), &context).await?;
                let receiver = platform.store().person_facts(person, Organization::Office(to), Some(to), None).await?;
                let receiver = receiver.assignment.is_some_and(|assignment| assignment.is_live(context.today()));
                Ok::<_, Error>((person, Known { case, unopened, receiver }))
            });
        }
        let mut known = BTreeMap::new();
        while let Some(one) = asked.join_next().await {
            let (person, one) = one.map_err(|error| Error::Internal(error.to_string()))??;
            known.insert(person, one);
        }
        Ok(known)
    }
}

/// What is known about a person of a set.
struct Known {
    case: Case,
    unopened: UnopenedPerson,
    /// The addressee is registered for the person.
    receiver: bool,
}

/// The plans of a set by person, in the order of their days.
struct PlansOfSet<'s>(BTreeMap<PersonKey, BTreeMap<Date, &'s CarePlan>>);

impl<'s> PlansOfSet<'s> {
    fn of(set: &'s SlipSet) -> Self {
        let mut plans: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for plan in &set.received.plans {
            plans.entry(plan.person).or_default().insert(plan.changed_on, &plan.value);
        }
        Self(plans)
    }

    /// The plan a slip is to carry out: the one changed last by the end of its month.
    fn for_slip(&self, slip: &ServiceSlip) -> Option<&'s CarePlan> {
        self.0.get(&slip.person)?.range(..=slip.month.last_day()).next_back().map(|(_, plan)| *plan)
    }
}

/// What was found by insurer and kind, still unreleased, and whose it was.
type Looks = BTreeMap<(InsurerNumber, Kind), (Unreleased<Vec<Problem>>, Vec<String>)>;

/// About one person: what needs no look; what does goes to the looks.
fn compare_person(
    caller: &Caller,
    Known { case, unopened, receiver }: &Known,
    (parts, plans): (&[Part<'_>], &PlansOfSet<'_>),
    looks: &mut Looks,
    context: &Context,
) -> Result<Vec<Problem>, Error> {
    // Of a municipality that has not started nobody can be registered, and the exchange works all the same (P-150).
    if let Some(words) = not_started(case.stored.start, context.today()) {
        let text = format!("この利用者の市区町村は {words} のため、基盤にある情報とは比べていません（送信はできます）");
        return Ok(parts.first().map(|part| part.warn("not_started", text)).into_iter().collect());
    }
    if !case.is_assigned() {
        // The words are the same for an unknown number and for somebody else's user.
        return Ok(parts.first().map(|part| part.warn("not_registered", NOT_REGISTERED)).into_iter().collect());
    }
    let known = |records| StoredRecord::as_known(records, context.now, &case.stored.unapplied);
    let mut look = |kind: Kind, found: &dyn Fn(Vec<StoredRecord>) -> Vec<Problem>| -> Result<(), Error> {
        if !may_compare(case, kind) {
            return Ok(());
        }
        let found = unopened.records(kind)?.map(|records| found(known(records)));
        let key = (case.person.insurer, kind);
        let (all, mut subjects) = match looks.remove(&key) {
            Some((before, subjects)) => (before.zip(found).map(|(before, found)| [before, found].concat()), subjects),
            None => (found, Vec::new()),
        };
        subjects.push(case.person.insured.to_string());
        looks.insert(key, (all, subjects));
        Ok(())
    };
    look(Kind::A3a, &|records| {
        // Where the municipality has sent no card, there is nothing to compare with.
        let Some(cards) = certified(&records) else { return Vec::new() };
        parts.iter().flat_map(|part| compare_card(*part, &cards, context.today())).collect()
    })?;
    look(Kind::Cp1, &|records| {
        let own: Vec<StoredRecord> =
            records.into_iter().filter(|record| record.header.creator == caller.organization).collect();
        let against = |part: &Part<'_>| match part {
            Part::Slip(slip) => plan_of(&own, slip.month.last_day())
                .map(|plan| outside_plan(*part, &slip.lines, &plan, case.table))
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        // What comes with a plan of its own is held against that one.
        let alone = parts.iter().filter(|part| !matches!(part, Part::Slip(slip) if plans.for_slip(slip).is_some()));
        alone.flat_map(against).collect()
    })?;
    // Results go to the care manager, who is registered as such or not: that is theirs to know. What is taken back may be so
    // because the addressee has nothing to do with the person any more.
    let plan = parts.iter().find(|part| !matches!(part, Part::Actuals(_) | Part::Withdrawal(_)));
    if let Some(part) = plan {
        look(Kind::G1, &|_| {
            let warning = || part.warn("receiver_not_registered", RECEIVER_NOT_REGISTERED);
            if *receiver { Vec::new() } else { vec![warning()] }
        })?;
    }
    Ok(Vec::new())
}

/// Whether a kind may be looked at to compare it: the caller may read it as the person's registered office, and nothing of it
/// is hidden (P-037). By every way in that may send (P-166): what is told is whether what is sent fits, not what is held.
fn may_compare(case: &Case, kind: Kind) -> bool {
    matches!(case.decide(Question::read(kind)), Decision::Allow { whereabouts_hidden: false, .. })
}

fn not_for_receiver(part: Part<'_>, plan: &CarePlan, to: OfficeNumber) -> Option<Problem> {
    let offices: BTreeSet<OfficeNumber> = services(plan).filter_map(|service| service.office).collect();
    let is_elsewhere = !offices.is_empty() && !offices.contains(&to);
    is_elsewhere.then(|| part.warn("not_for_receiver", NOT_FOR_RECEIVER))
}

/// A plan whose 認定の有効期間 is over.
fn expired(part: Part<'_>, today: Date) -> Option<Problem> {
    let (_, last, _) = part.period();
    last.filter(|last| *last < today).map(|_| part.warn("certification_expired", EXPIRED_PLAN))
}

fn check_slip(part: Part<'_>, slip: &ServiceSlip, to: OfficeNumber, warnings: &mut Vec<Problem>) {
    if !slip.lines.iter().any(|line| line.office == to) {
        warnings.push(part.warn("not_for_receiver", NOT_FOR_RECEIVER));
    }
    warnings.extend(over_limit(part, slip));
    warnings.extend(mismatches(part, slip));
    let Some(supplement) = &slip.supplement else { return };
    let (first, last) = (slip.month.first_day(), slip.month.last_day());
    let ended = supplement.limit_to.is_some_and(|to| to < first);
    let not_begun = supplement.limit_from.is_some_and(|from| from > last);
    if ended || not_begun {
        warnings.push(part.warn("certification_expired", EXPIRED));
    }
}

/// 区分支給限度基準額 exceeded by what counts against it.
fn over_limit(part: Part<'_>, slip: &ServiceSlip) -> Option<Problem> {
    let by_level = || limit_units(slip.supplement.as_ref()?.level?, slip.month.first_day()).map(i64::from);
    let limit = part.limit().map(i64::from).or_else(by_level)?;
    let total = managed_units(&slip.table7);
    let text = format!(
        "区分支給限度基準額 {limit} 単位を {} 単位超えています。超えた分は全額利用者負担になります。第7表の超過の単位数と、ご本人への説明を確かめてください",
        total - limit
    );
    (total > limit).then(|| part.warn_at("units", &total.to_string(), "over_limit", text))
}

/// 第6表 against 第7表: every service code of an office in both, with the same number of times and the same units.
fn mismatches(part: Part<'_>, slip: &ServiceSlip) -> Vec<Problem> {
    type Codes<'s, T> = BTreeMap<(String, &'s str), Vec<&'s T>>;
    let (mut planned, mut counted): (Codes<'_, SlipLine>, Codes<'_, Table7Line>) = Default::default();
    for line in &slip.lines {
        planned.entry((line.office.to_string(), &line.service_code)).or_default().push(line);
    }
    for line in slip.table7.iter().filter(|line| !line.is_total()) {
        counted.entry((line.office.to_string(), &line.service_code)).or_default().push(line);
    }
    let mut found = Vec::new();
    let warn = |code: &str, rule, text: String| part.warn_at("service_code", code, rule, text);
    for (key, lines) in &planned {
        let Some(rows) = counted.get(key) else {
            found.push(warn(key.1, "not_in_table7", NOT_IN_TABLE7.to_owned()));
            continue;
        };
        // A month charged by the day is counted otherwise.
        if lines.iter().any(|line| !line.prorated_days.is_empty()) {
            continue;
        }
        let times = |counts: &mut dyn Iterator<Item = i32>| counts.map(i64::from).sum::<i64>();
        let (in6, in7) = (times(&mut lines.iter().map(|l| l.count)), times(&mut rows.iter().map(|r| r.count)));
        if in6 != in7 {
            let text = format!("第6表の回数の合計は {in6}、第7表の回数は {in7} です。どちらかを直してください");
            found.push(warn(key.1, "count_mismatch", text));
        }
        let in6: BTreeSet<i32> = lines.iter().filter_map(|line| line.units).filter(|units| *units != 0).collect();
        let in7: BTreeSet<i32> = rows.iter().map(|row| row.discounted_units.unwrap_or(row.units)).collect();
        if let (Some(six), Some(seven)) = (in6.difference(&in7).next(), in7.first()) {
            let text = format!("第6表の単位数 {six} が、第7表の単位数 {seven} と違います。どちらかを直してください");
            found.push(warn(key.1, "unit_mismatch", text));
        }
    }
    let only7 = counted.keys().filter(|key| !planned.contains_key(*key));
    found.extend(only7.map(|key| warn(key.1, "not_in_table6", NOT_IN_TABLE6.to_owned())));
    found
}

/// Every line of 第2表.
fn services(plan: &CarePlan) -> impl Iterator<Item = &PlannedService> {
    let goals = plan.table2.needs.iter().flat_map(|need| &need.long_goals).flat_map(|goal| &goal.short_goals);
    goals.flat_map(|goal| &goal.services)
}

/// The lines of 第2表 that name what the insurance covers (保険対象区分; blank means not covered), by office, kind or both. A
/// plan that marks no line as covered counts whole.
fn covered_services(plan: &CarePlan) -> Vec<&PlannedService> {
    let is_covered = |service: &&PlannedService| service.coverage == Some(Coverage::Covered);
    let is_marked = services(plan).any(|service| is_covered(&service));
    let counted = services(plan).filter(|service| !is_marked || is_covered(service));
    counted.filter(|service| service.office.is_some() || !service.kind.trim().is_empty()).collect()
}

/// Services of a slip that no covered line of 第2表 names. A line that names an office must name this one, and no other kind
/// of service; a line without an office must name the kind. Each line of the plan is read once, and what it says of a サービス種類
/// once for each type: both tables may be as long as a set may be.
fn outside_plan(part: Part<'_>, lines: &[SlipLine], plan: &CarePlan, table: &SharingTable) -> Vec<Problem> {
    let planned: Vec<(Option<OfficeNumber>, Vec<&str>)> =
        covered_services(plan).into_iter().map(|service| (service.office, named_types(&service.kind, table))).collect();
    if planned.is_empty() {
        return Vec::new();
    }
    let mut by_type: BTreeMap<&str, Allowed> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for line in lines {
        let code = line.service_code.get(..2).unwrap_or_default();
        let allowed = by_type.entry(code).or_insert_with(|| Allowed::by(&planned, type_name(code, table)));
        if !allowed.anywhere && !allowed.at.contains(&line.office) && told.insert((line.office, &line.service_code)) {
            found.push(part.warn_at("service_code", &line.service_code, "outside_plan", OUTSIDE_PLAN));
        }
    }
    found
}

/// Where a plan has a サービス種類 given.
struct Allowed {
    anywhere: bool,
    at: BTreeSet<OfficeNumber>,
}

impl Allowed {
    /// By lines with the office and the types they name; `name` is that of the type, none where a municipality names it.
    fn by(planned: &[(Option<OfficeNumber>, Vec<&str>)], name: Option<&str>) -> Self {
        // Whether the text of a line names the type: 「通所介護」 names 地域密着型通所介護 too. None when it cannot be told, as of 「デイ」.
        let names = |named: &[&str]| {
            let name = name.filter(|_| !named.is_empty())?;
            Some(named.iter().any(|known| name.contains(known)))
        };
        let elsewhere = planned.iter().filter(|(office, _)| office.is_none());
        let with_office = planned.iter().filter(|(_, named)| names(named) != Some(false));
        Self {
            anywhere: elsewhere.into_iter().any(|(_, named)| name.is_none() || names(named) == Some(true)),
            at: with_office.filter_map(|(office, _)| *office).collect(),
        }
    }
}

/// 名称 of the サービス種類 of a service code; none of what a municipality names itself (総合事業).
fn type_name<'t>(code: &str, table: &'t SharingTable) -> Option<&'t str> {
    let service = ServiceType::parse(code.get(..2)?).ok()?;
    let rule = service_type_rule(&service, table)?;
    (!rule.code.starts_with('A')).then_some(rule.name.as_str())
}

/// The known サービス種類 that サービス種別, which is free text, names.
fn named_types<'t>(text: &str, table: &'t SharingTable) -> Vec<&'t str> {
    let known = service_type_rules(table).iter().filter_map(|rule| rule.name.split('（').next());
    known.filter(|known| text.contains(known)).collect()
}

/// The certifications on a person's cards, newest card first; none where the person has no card here.
fn certified(cards: &[StoredRecord]) -> Option<Vec<CertifiedLevel>> {
    let read = |record: &StoredRecord| serde_json::from_slice::<InsuranceCard>(&record.payload).ok()?.certified;
    (!cards.is_empty()).then(|| cards.iter().filter_map(read).collect())
}

/// The certifications that hold on some day of a run of days: of those valid on a day the one decided last, of one day's
/// decisions the newest card. Which one it is changes only where one begins or has ended.
fn holding(cards: &[CertifiedLevel], first: Date, last: Option<Date>) -> Vec<&CertifiedLevel> {
    let ends = |card: &CertifiedLevel| {
        let valid = card.valid?;
        Some([Some(valid.from()), valid.to().and_then(|to| to.tomorrow().ok())])
    };
    let turns = cards.iter().filter_map(ends).flatten().flatten();
    let days = turns.filter(|day| *day > first && last.is_none_or(|last| *day <= last)).chain([first]);
    let on = |day: Date| {
        let valid = |(_, card): &(usize, &CertifiedLevel)| card.valid.is_none_or(|valid| valid.contains(day));
        cards.iter().enumerate().rev().filter(valid).max_by_key(|(_, card)| card.decided_on).map(|(at, _)| at)
    };
    let held: BTreeSet<usize> = days.filter_map(on).collect();
    held.into_iter().map(|at| &cards[at]).collect()
}

/// A part against the certifications on the person's cards.
fn compare_card(part: Part<'_>, cards: &[CertifiedLevel], today: Date) -> Vec<Problem> {
    let Some((first, last)) = part.days(today) else { return Vec::new() };
    let in_force = holding(cards, first, Some(last));
    if in_force.is_empty() {
        return vec![part.warn("not_certified", NOT_CERTIFIED)];
    }
    let mut found = Vec::new();
    if let Some((_, code)) = part.level().filter(|(level, _)| in_force.iter().all(|card| card.level != *level)) {
        found.push(part.warn_at("level", code, "level_differs", OTHER_LEVEL));
    }
    let limits: Vec<u32> = in_force.iter().filter_map(|card| card.limit_units).collect();
    if let Some(limit) =
        part.limit().filter(|limit| !limits.is_empty() && !limits.iter().any(|l| i64::from(*l) == i64::from(*limit)))
    {
        found.push(part.warn_at("limit_units", &limit.to_string(), "limit_differs", OTHER_LIMIT));
    }
    // A plan may be made for the certification that comes next.
    let until = matches!(part, Part::Slip(_)).then_some(last);
    found.extend(other_period(part, &holding(cards, first, until)));
    found
}

/// A period that is that of none of the certifications. Of an item that is blank, and of a card without an end, nothing is said.
fn other_period(part: Part<'_>, cards: &[&CertifiedLevel]) -> Option<Problem> {
    let (from, to, item) = part.period();
    let period = |card: &&CertifiedLevel| match part {
        Part::Slip(_) => card.limit_period.or(card.valid),
        _ => card.valid,
    };
    let periods: Vec<Period> = cards.iter().filter_map(period).collect();
    let fits = |period: &Period| {
        from.is_none_or(|from| from == period.from()) && to.is_none_or(|to| period.to().is_none_or(|last| last == to))
    };
    if periods.is_empty() || periods.iter().any(fits) {
        return None;
    }
    let text = |day: Option<Date>| day.map(yyyymmdd).unwrap_or_default();
    Some(part.warn_at(item, &format!("{}-{}", text(from), text(to)), "period_differs", OTHER_PERIOD))
}

/// The office's own plan that holds on a day: the one changed last by then.
fn plan_of(records: &[StoredRecord], on: Date) -> Option<CarePlan> {
    let plans = records.iter().filter(|record| record.header.natural_key.starts_with("plan-"));
    let in_force = plans.filter(|record| record.header.valid.from() <= on);
    let latest = in_force.max_by_key(|record| record.header.valid.from())?;
    let mut content: serde_json::Value = serde_json::from_slice(&latest.payload).ok()?;
    serde_json::from_value(content["plan"].take()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_formats::care_plan::read_set;

    /// The worked example: two offices with several codes each, whose 給付管理単位数 stand on the subtotals, and one with one code.
    fn example() -> Sent<ServiceSlip> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/care-plan/valid/slip");
        let files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
            .collect();
        read_set(&files).0.slips.remove(0)
    }

    #[test]
    fn what_counts_against_the_limit_is_that_of_the_worked_example() {
        let mut slip = example();
        assert_eq!(managed_units(&slip.table7), 10_499);
        assert!(over_limit(Part::Slip(&slip), &slip).is_none());
        slip.value.supplement.as_mut().unwrap().limit_units = Some(10_000);
        let told = over_limit(Part::Slip(&slip), &slip).unwrap();
        assert_eq!((told.rule.as_ref(), told.found.as_str()), ("over_limit", "10499"));
        assert!(told.expected.contains("10000 単位を 499 単位超えています"), "{}", told.expected);
        // Without a limit in the file: 要支援１ has 5,032 units.
        let supplement = slip.value.supplement.as_mut().unwrap();
        (supplement.limit_units, supplement.level) = (None, Some(CareLevel::Support1));
        let told = over_limit(Part::Slip(&slip), &slip).unwrap();
        assert!(told.expected.contains("5032 単位を 5467 単位超えています"), "{}", told.expected);
        slip.value.supplement = None;
        assert!(over_limit(Part::Slip(&slip), &slip).is_none());
    }

    /// A card of history: 区分 decided on a day, valid and limited for some days.
    fn card(level: CareLevel, limit: u32, decided: &str, from: &str, to: &str) -> CertifiedLevel {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let valid = Some(Period::new(day(from), Some(day(to))).unwrap());
        CertifiedLevel {
            level,
            decided_on: day(decided),
            valid,
            limit_units: Some(limit),
            limit_period: valid,
            service_limits: vec![],
            board_opinion: None,
        }
    }

    #[test]
    fn of_the_certifications_of_a_month_those_decided_last_for_its_days_count() {
        let before = card(CareLevel::Care2, 19_705, "2025-12-15", "2026-01-01", "2026-12-31");
        let changed = card(CareLevel::Care3, 27_048, "2026-11-20", "2026-11-11", "2027-10-31");
        let mut slip = example();
        let mut told = |month: &str, by: &CertifiedLevel, cards: &[&CertifiedLevel]| {
            slip.value.month = kiban_domain::dates::ServiceMonth::parse(month).unwrap();
            let supplement = slip.value.supplement.as_mut().unwrap();
            let period = by.limit_period.unwrap();
            (supplement.level, supplement.limit_units) =
                (Some(by.level), by.limit_units.map(|units| units.try_into().unwrap()));
            (supplement.limit_from, supplement.limit_to) = (Some(period.from()), period.to());
            let cards: Vec<CertifiedLevel> = cards.iter().copied().cloned().collect();
            let found = compare_card(Part::Slip(&slip), &cards, "2026-11-22".parse().unwrap());
            found.into_iter().map(|problem| problem.rule.into_owned()).collect::<Vec<_>>()
        };
        const NONE: [&str; 0] = [];
        const ALL: [&str; 3] = ["level_differs", "limit_differs", "period_differs"];
        for cards in [[&changed, &before], [&before, &changed]] {
            // In the month of the change both may stand, before it only the old one, from December on only the new one.
            for (month, old, new) in [
                ("202610", &NONE[..], &ALL[..]),
                ("202611", &NONE, &NONE),
                ("202612", &ALL, &NONE),
                ("202701", &ALL, &NONE),
            ] {
                assert_eq!(told(month, &before, &cards), old, "{month}");
                assert_eq!(told(month, &changed, &cards), new, "{month}");
            }
            assert_eq!(told("202711", &changed, &cards), ["not_certified"]);
        }
        // Of one day's decisions that of the newest card, which comes first.
        let corrected = card(CareLevel::Care4, 30_938, "2025-12-15", "2026-01-01", "2026-12-31");
        assert_eq!(told("202605", &corrected, &[&corrected, &before]), NONE);
        assert_eq!(told("202605", &before, &[&corrected, &before]), ["level_differs", "limit_differs"]);
        // A card without a certification: there is none.
        assert_eq!(told("202605", &before, &[]), ["not_certified"]);
    }

    #[test]
    fn a_slip_of_very_many_services_is_held_against_a_plan_of_very_many() {
        const MANY: usize = 20_000;
        let table = SharingTable::at("2026-11-22".parse().unwrap()).unwrap();
        let slip = example();
        let line = slip.lines[0].clone();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/care-plan/valid/plan");
        let files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
            .collect();
        let mut plan = read_set(&files).0.plans.remove(0).value;
        let short = &mut plan.table2.needs[0].long_goals[0].short_goals[0];
        let service = short.services[0].clone();
        let other = |n: usize| OfficeNumber::parse(&format!("99{n:08}")).unwrap();
        let planned = |n: usize| PlannedService {
            office: Some(other(n)),
            coverage: Some(Coverage::Covered),
            kind: "訪問介護".to_owned(),
            ..service.clone()
        };
        short.services = (0..MANY).map(planned).collect();
        let lines: Vec<SlipLine> =
            (0..MANY).map(|n| SlipLine { office: other(MANY - 1 - n), ..line.clone() }).collect();
        assert_eq!(outside_plan(Part::Slip(&slip), &lines, &plan, table).len(), 0);
        let lines: Vec<SlipLine> = (0..MANY).map(|n| SlipLine { office: other(MANY + n), ..line.clone() }).collect();
        assert_eq!(outside_plan(Part::Slip(&slip), &lines, &plan, table).len(), MANY);
    }
}
