//! The story: what each party saw, what was refused and why with its rule, the receipt, the audit proof. What a
//! party does is an HTTPS request over mutual TLS; the operator's own acts (the start of use, a revocation, the audit proof) are
//! calls in the process. An answer that is not the expected one ends the story with an error.

use super::DEMO_PASSWORD;
use super::city::{World, account_of};
use crate::client::{Answer, Client};
use crate::home::now;
use crate::serve::Running;
use anyhow::{Context as _, Result, anyhow, bail};
use kiban_domain::Organization;
use kiban_domain::dates::{ServiceMonth, day_in_japan};
use kiban_domain::municipality::StartState;
use kiban_domain::office::JobType;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_service::{Context, RevocationAsk};
use kiban_sim::{Generator, Role, SimPerson, care_plan_files};
use serde_json::{Value, json};

/// The story over one running server.
pub struct Story<'w> {
    world: &'w World,
    server: &'w Running,
    token: Option<String>,
}

impl<'w> Story<'w> {
    pub fn new(world: &'w World, server: &'w Running) -> Self {
        Self { world, server, token: None }
    }

    /// Token of the care manager, for calling by hand.
    pub fn token(&self) -> Option<String> {
        self.token.clone()
    }

    pub async fn tell(&mut self) -> Result<()> {
        self.nobody_without_a_certificate().await?;
        let mut city =
            self.log_in(Organization::Municipality(self.world.city.insurer), JobType::MunicipalOfficer).await?;
        self.city_sends_its_files(&mut city).await?;
        let mut manager = self.log_in_office(Role::Planning, JobType::CareManager).await?;
        self.not_started_yet(&mut manager).await?;
        let handle = self.register_and_view(&mut manager).await?;
        self.plans_come_in(&mut manager, &handle).await?;
        self.consent_is_missing_then_given(&mut city).await?;
        self.opinion_goes_round(&mut city, &mut manager).await?;
        self.filing_goes_round(&mut city, &mut manager, &handle).await?;
        self.withheld_stays_hidden(&mut manager).await?;
        self.disaster().await?;
        self.vendor_and_revocation(&mut city).await?;
        self.who_looked(&mut city).await?;
        self.token = manager.token().map(str::to_owned);
        Ok(())
    }

    fn client(&self, organization: Organization) -> Result<Client> {
        Client::new(
            self.server.organizations,
            "office.localhost",
            &self.world.root,
            Some(self.world.identity(organization)?),
        )
    }

    async fn log_in(&self, organization: Organization, job: JobType) -> Result<Client> {
        let world = &self.world.city;
        let staff = match organization {
            Organization::Municipality(_) => world.officers.first(),
            Organization::Operator => world.operators.first(),
            _ => world
                .offices
                .iter()
                .find(|o| Organization::Office(o.number()) == organization)
                .and_then(|o| o.staff_of(job)),
        };
        let staff = staff.with_context(|| format!("{organization} has no such staff"))?;
        let mut client = self.client(organization)?;
        client.log_in(&account_of(staff), DEMO_PASSWORD).await?.expect(200, "ログイン")?;
        Ok(client)
    }

    async fn log_in_office(&self, role: Role, job: JobType) -> Result<Client> {
        self.log_in(Organization::Office(self.world.office(role)?.number()), job).await
    }

    async fn nobody_without_a_certificate(&self) -> Result<()> {
        say("証明書のない相手", "TLS の段階で断ります（S-002）");
        let mut nobody = Client::new(self.server.organizations, "office.localhost", &self.world.root, None)?;
        match nobody.send("GET", "/api/v1/people", None).await {
            Err(_) => done("断りました。理由と件数は監査記録に残ります"),
            Ok(answer) => bail!("証明書なしで {} が返りました", answer.status),
        }
        let mut public = Client::new(self.server.public, "portal.localhost", &self.world.root, None)?;
        let starts = public.send("GET", "/api/v1/insurers", None).await?.expect(200, "利用開始日")?;
        done(&format!(
            "公開の待受けでは、{}市区町村の利用開始日だけを見られます",
            starts.body["insurers"].as_array().map_or(0, Vec::len)
        ));
        Ok(())
    }

    async fn city_sends_its_files(&self, city: &mut Client) -> Result<()> {
        let package = &self.world.package;
        say(
            "市",
            &format!(
                "介護保険事務システムから出した {}ファイル（{}バイト）を送ります",
                package.len(),
                package.iter().map(|(_, b)| b.len()).sum::<usize>()
            ),
        );
        let answer = city.upload("/api/v1/packages", package).await?.expect(200, "取込み")?;
        done(&receipt_line(&answer));
        let again = city.upload("/api/v1/packages", package).await?.expect(200, "同じファイル")?;
        if again.body["receipt"] != answer.body["receipt"] {
            bail!("同じファイルに別の受付番号が付きました");
        }
        done("同じファイルをもう一度送っても、受付番号は同じで、何も二重になりません");
        let broken = broken(package);
        let refused = city.upload("/api/v1/packages", &broken).await?.expect(422, "壊れたファイル")?;
        let result = &refused.body["result"];
        done(&format!(
            "途中で切れたファイル → 何も反映せず、場所を示します: {}",
            result["report"]["problems"][0]["message"].as_str().unwrap_or_default()
        ));
        Ok(())
    }

    async fn not_started_yet(&self, manager: &mut Client) -> Result<()> {
        say("介護支援専門員", "利用開始前の市の人を登録しようとします");
        let answer = self.register(manager, &self.world.cast.consenting, true).await?.expect(403, "未開始")?;
        refused(&answer);
        let today = day_in_japan(now());
        self.world
            .platform
            .set_start(self.world.city.insurer, StartState::Started(today), "cli", &Context::new(now())?)
            .await?;
        done("運用者が、この市の利用を開始しました（P-131）");
        Ok(())
    }

    async fn register(&self, client: &mut Client, person: &SimPerson, makes_plan: bool) -> Result<Answer> {
        let items = person.four_items();
        let identity = &person.insured.identity;
        let body = json!({
            "insurer_number": items.number.insurer, "insured_number": items.number.insured,
            "kana": identity.kana, "birth": identity.birth, "sex": identity.sex, "makes_plan": makes_plan,
        });
        client.send("POST", "/api/v1/people", Some(body)).await
    }

    async fn register_and_view(&self, manager: &mut Client) -> Result<String> {
        let person = &self.world.cast.consenting;
        say("介護支援専門員", "被保険者証を見て4項目を入力し、本人確認をします（P-103）");
        let mut wrong = person.clone();
        wrong.insured.identity.birth = wrong.insured.identity.birth.tomorrow()?;
        let answer = self.register(manager, &wrong, true).await?.expect(404, "違う生年月日")?;
        refused(&answer);
        let answer = self.register(manager, person, true).await?.expect(200, "本人確認")?;
        let handle = answer.text("handle")?.to_owned();
        done(&format!("担当事業所として登録しました。閲覧期限 {}、計画作成者（※1）", answer.text("viewable_until")?));
        let page =
            manager.send("GET", &format!("/api/v1/people/{handle}"), None).await?.expect(200, "利用者のページ")?;
        show_page(&page.body);
        Ok(handle)
    }

    async fn plans_come_in(&self, manager: &mut Client, handle: &str) -> Result<()> {
        let person = &self.world.cast.consenting;
        let generator = Generator::new(&self.world.city.spec);
        let month = ServiceMonth::of(day_in_japan(now()));
        let files = care_plan_files(&generator, person, month)
            .map_err(|p| anyhow!("{}", p.first().map(|p| p.message_ja()).unwrap_or_default()))?;
        say(
            "介護支援専門員",
            &format!("介護ソフトのケアプラン標準仕様 4.1 の {}ファイル（Shift_JIS）を送ります", files.len()),
        );
        let answer = manager.upload("/api/v1/plans", &files).await?.expect(200, "ケアプラン")?;
        done(&receipt_line(&answer));
        let mut helper = self.log_in_office(Role::HomeHelp, JobType::CareWorker).await?;
        let own = self.register(&mut helper, person, false).await?.expect(200, "訪問介護の登録")?;
        let own = own.text("handle")?.to_owned();
        let plans = helper
            .send("GET", &format!("/api/v1/people/{own}/records/CP1"), None)
            .await?
            .expect(200, "ケアプランの閲覧")?;
        done(&format!(
            "訪問介護事業所にケアプラン {}件が見えます（○、同意は不要）",
            plans.body["documents"].as_array().map_or(0, Vec::len)
        ));
        let blank = helper.send("GET", &format!("/api/v1/people/{own}/records/A2"), None).await?.expect(404, "空欄")?;
        let unknown = helper
            .send("GET", &format!("/api/v1/people/{handle}/records/A2"), None)
            .await?
            .expect(404, "よその番号")?;
        if blank.body["detail"] != unknown.body["detail"] {
            bail!("空欄と存在しない番号の答えが違います");
        }
        done("訪問介護事業所には主治医意見書は「ないもの」と同じ答えです（空欄、P-041）");
        Ok(())
    }

    async fn consent_is_missing_then_given(&self, city: &mut Client) -> Result<()> {
        let person = &self.world.cast.without_consent;
        let planner = person.care.planner.context("no planner")?;
        say("別の介護支援専門員", "同意をまだ取っていない人を登録します");
        let mut manager = self.log_in(Organization::Office(planner), JobType::CareManager).await?;
        let handle =
            self.register(&mut manager, person, true).await?.expect(200, "本人確認")?.text("handle")?.to_owned();
        let path = format!("/api/v1/people/{handle}/records/E1");
        refused(&manager.send("GET", &path, None).await?.expect(403, "同意未取得")?);
        let consent = |act: &str| json!({ "act": act, "declarant": "person", "proof": "insurance_card", "form": "同意様式 第1版" });
        let given = consent("given");
        manager
            .send("POST", &format!("/api/v1/people/{handle}/consents"), Some(given))
            .await?
            .expect(200, "同意の登録")?;
        manager.send("GET", &path, None).await?.expect(200, "同意後")?;
        done("本人から包括同意を取り、次の要求から見えました。市には通知が届きます（P-063、P-073）");
        let inbox = city.send("GET", "/api/v1/inbox", None).await?.expect(200, "受信箱")?;
        let notices =
            inbox.body["items"].as_array().map_or(0, |items| items.iter().filter(|item| item["kind"] == "G1").count());
        if notices == 0 {
            bail!("同意の通知が市に届いていません");
        }
        manager
            .send("POST", &format!("/api/v1/people/{handle}/consents"), Some(consent("withdrawn")))
            .await?
            .expect(200, "撤回")?;
        refused(&manager.send("GET", &path, None).await?.expect(403, "撤回後")?);
        Ok(())
    }

    async fn opinion_goes_round(&self, city: &mut Client, manager: &mut Client) -> Result<()> {
        let person = &self.world.cast.applying;
        let hospital = person.care.hospital.context("no hospital")?;
        say("医療機関", "市から意見書を依頼された人が一覧にあり、意見書を提出します（P-048、P-133）");
        let mut doctor = self.log_in(Organization::Office(hospital), JobType::Physician).await?;
        let list = doctor.send("GET", "/api/v1/people?limit=200", None).await?.expect(200, "依頼の一覧")?;
        let number = person.insured.key.insured.to_string();
        let line = list.body["people"]
            .as_array()
            .and_then(|people| people.iter().find(|p| p["insured_number"] == number.as_str()));
        let handle =
            line.and_then(|line| line["handle"].as_str()).context("依頼された人が一覧にありません")?.to_owned();
        let mut opinion = PhysicianOpinion::example(person.insured.key, hospital, day_in_japan(now()));
        opinion.basics.applicant = person.insured.identity.clone();
        opinion.basics.age = None;
        let filed = doctor
            .send("POST", &format!("/api/v1/people/{handle}/opinions"), Some(serde_json::to_value(&opinion)?))
            .await?
            .expect(201, "意見書の提出")?;
        let receipt = filed.text("receipt")?.to_owned();
        done(&format!("受付番号 {receipt} — {}", filed.text("state_name")?));
        let own =
            self.register(manager, person, true).await?.expect(200, "申請中の人の登録")?.text("handle")?.to_owned();
        let path = format!("/api/v1/people/{own}/records/A2");
        let before = manager.send("GET", &path, None).await?.expect(200, "受理前")?;
        if before.body["documents"].as_array().is_some_and(|documents| !documents.is_empty()) {
            bail!("受理前の意見書が見えました");
        }
        let fetched =
            city.send("POST", &format!("/api/v1/inbox/{receipt}/fetch"), None).await?.expect(200, "市の取得")?;
        if fetched.body["content"].is_null() {
            bail!("市が取得した意見書に中身がありません");
        }
        city.send("POST", &format!("/api/v1/inbox/{receipt}/accept"), None).await?.expect(200, "受理")?;
        let state = doctor
            .send("GET", &format!("/api/v1/people/{handle}/submissions"), None)
            .await?
            .expect(200, "提出の状態")?;
        done(&format!(
            "市が取得・受理 → 医療機関には「{}」と見えます",
            state.body["submissions"][0]["state_name"].as_str().unwrap_or_default()
        ));
        let after = manager.send("GET", &path, None).await?.expect(200, "受理後")?;
        let documents = after.body["documents"].as_array().map_or(0, Vec::len);
        done(&format!("計画作成者である介護支援専門員に、受理された意見書 {documents}件が見えました（◎、同意あり）"));
        if documents != 1 { Err(anyhow!("意見書が {documents}件です")) } else { Ok(()) }
    }

    async fn filing_goes_round(&self, city: &mut Client, manager: &mut Client, handle: &str) -> Result<()> {
        let person = &self.world.cast.consenting;
        let office = &self.world.office(Role::Planning)?.office;
        let staff = self.world.office(Role::Planning)?.staff_of(JobType::CareManager).context("no care manager")?;
        say("介護支援専門員", "居宅サービス計画作成依頼届出を代行します（P-138）");
        let today = day_in_japan(now());
        let request = json!({
            "person": person.insured.key, "filing": { "kind": "new" }, "form": "home_care", "office": office.number, "office_name": office.name,
            "care_manager_name": staff.name, "care_manager": staff.care_manager, "starts_on": today, "filed_on": today,
            "filer": { "who": "person", "address": null, "telephone": null }, "person_agrees": true,
        });
        let filed = manager
            .send("POST", &format!("/api/v1/people/{handle}/plan-requests"), Some(request))
            .await?
            .expect(201, "届出")?;
        let receipt = filed.text("receipt")?;
        let reason = json!({ "reason": "開始年月日を確認してください" });
        city.send("POST", &format!("/api/v1/inbox/{receipt}/return"), Some(reason)).await?.expect(200, "差戻し")?;
        let state = manager
            .send("GET", &format!("/api/v1/people/{handle}/submissions"), None)
            .await?
            .expect(200, "届出の状態")?;
        let first = &state.body["submissions"][0];
        done(&format!(
            "市が差戻し → 「{}」理由: {}",
            first["state_name"].as_str().unwrap_or_default(),
            first["state"]["reason"].as_str().unwrap_or_default()
        ));
        Ok(())
    }

    async fn withheld_stays_hidden(&self, manager: &mut Client) -> Result<()> {
        say("事情を知らない事業所", "不開示の人の4項目を正しく入力します（P-037）");
        let answer = self.register(manager, &self.world.cast.withheld, false).await?.expect(404, "不開示")?;
        refused(&answer);
        done("答えは生年月日を間違えたときと同じで、市に知らせが残ります");
        Ok(())
    }

    async fn disaster(&self) -> Result<()> {
        say("運用者", "災害時モードを開きます。2人の運用者が必要です（S-033）");
        let operators = &self.world.city.operators;
        let mut first = self.client(Organization::Operator)?;
        first.log_in(&account_of(&operators[0]), DEMO_PASSWORD).await?.expect(200, "運用者1")?;
        let mut second = Client::new(
            self.server.organizations,
            "office.localhost",
            &self.world.root,
            self.world.second_operator.as_ref(),
        )?;
        second.log_in(&account_of(&operators[1]), DEMO_PASSWORD).await?.expect(200, "運用者2")?;
        let today = day_in_japan(now());
        let helper = self.world.office(Role::Nursing)?.number();
        let proposal = json!({ "event": "架空地震", "areas": [self.world.city.insurer], "offices": [helper], "hosts": [], "without_consent": false, "from": today, "to": today });
        let id = first
            .send("POST", "/api/v1/disasters", Some(proposal))
            .await?
            .expect(201, "災害時モードの提案")?
            .text("id")?
            .to_owned();
        first.send("POST", &format!("/api/v1/disasters/{id}/approve"), None).await?.expect(409, "同じ人の承認")?;
        second.send("POST", &format!("/api/v1/disasters/{id}/approve"), None).await?.expect(204, "別の人の承認")?;
        let mut nurse = self.log_in(Organization::Office(helper), JobType::Nurse).await?;
        let query = |person: &SimPerson| {
            let identity = &person.insured.identity;
            json!({ "reason": "避難所での安否確認", "insurer_number": person.insured.card_insurer, "kana": identity.kana, "birth": identity.birth })
        };
        let found = nurse
            .send("POST", "/api/v1/disasters/search", Some(query(&self.world.cast.without_consent)))
            .await?
            .expect(200, "災害時検索")?;
        let handle = found.body["people"][0]["handle"].as_str().context("災害時検索で見つかりません")?.to_owned();
        nurse.send("GET", &format!("/api/v1/people/{handle}/records/A3a"), None).await?.expect(200, "災害時の閲覧")?;
        nurse.send("GET", &format!("/api/v1/people/{handle}/records/A2"), None).await?.expect(404, "災害時の意見書")?;
        done("指名された訪問看護が、カードなしで避難者を見つけ、被保険者証を見ました。意見書は見えません");
        let hidden = nurse
            .send("POST", "/api/v1/disasters/search", Some(query(&self.world.cast.withheld)))
            .await?
            .expect(200, "不開示の検索")?;
        if hidden.body["people"].as_array().is_none_or(|found| !found.is_empty()) {
            bail!("不開示の人が災害時検索で見つかりました");
        }
        done("不開示の人は災害時検索でも見つかりません");
        first.send("POST", &format!("/api/v1/disasters/{id}/close"), None).await?.expect(204, "終了")?;
        nurse.send("GET", &format!("/api/v1/people/{handle}/records/A3a"), None).await?.expect(404, "終了後")?;
        done("終了すると、その次の要求から見えなくなりました");
        Ok(())
    }

    async fn vendor_and_revocation(&self, city: &mut Client) -> Result<()> {
        let organization = Organization::Office(self.world.office(Role::DayCare)?.number());
        let staff = self.world.office(Role::DayCare)?.staff.first().context("no staff")?;
        say("介護ソフト", "通所介護の職員に代わって、プログラムとしてつなぎます（P-165）");
        let mut software = self.client(organization)?;
        software
            .log_in_program(&account_of(staff), DEMO_PASSWORD, "みほん介護ソフト 1.0")
            .await?
            .expect(200, "ソフトのログイン")?;
        software.send("GET", "/api/v1/people", None).await?.expect(200, "利用者一覧")?;
        let answer =
            self.register(&mut software, &self.world.cast.consenting, false).await?.expect(403, "ソフトの本人確認")?;
        refused(&answer);
        let serial = self.world.serial(organization)?;
        let why = RevocationAsk { reason: "cessation-of-operation".to_owned(), with_renewed: None };
        self.world.platform.revoke_certificate(serial, &why, &Context::new(now())?).await?;
        software.send("GET", "/api/v1/people", None).await?.expect(401, "失効後")?;
        done("この事業所の証明書を失効させると、つながったままの接続でも次の要求から断られました");
        city.send("GET", "/api/v1/inbox", None).await?.expect(200, "ほかの機関")?;
        Ok(())
    }

    async fn who_looked(&self, city: &mut Client) -> Result<()> {
        let person = &self.world.cast.without_consent;
        say("市", "この人をだれが見たかを確かめます（P-110）");
        let find = json!({ "insured_number": person.insured.key.insured });
        let handle = city
            .send("POST", "/api/v1/people/find", Some(find))
            .await?
            .expect(200, "番号で開く")?
            .text("handle")?
            .to_owned();
        let log =
            city.send("GET", &format!("/api/v1/people/{handle}/look-ups"), None).await?.expect(200, "閲覧記録")?;
        let entries = log.body["look_ups"].as_array().cloned().unwrap_or_default();
        for entry in entries.iter().rev().take(8) {
            let text = |key: &str| entry[key].as_str().unwrap_or("–").to_owned();
            println!(
                "     {} 機関 {} {} {} {}（{}）",
                text("at"),
                text("organization"),
                text("action"),
                text("kind"),
                text("outcome"),
                text("rule")
            );
        }
        done(&format!("断ったものも災害時のものも含めて {}件", entries.len()));
        Ok(())
    }
}

/// The audit proof: verify the whole log, offline and against the anchors outside the database.
pub async fn audit_proof(world: &World) -> Result<()> {
    say("運用者", "監査記録をすべて検証します（S-016）");
    let log = world.platform.store().audit();
    log.anchor_now().await?;
    let report = log.verify().await?;
    if !report.is_intact() {
        bail!("監査記録に相違があります: {:?}", report.findings.first());
    }
    done(&format!(
        "記録 {}件、区間 {}、署名付きアンカー {}。改ざん・欠落はありません",
        report.entries, report.segments, report.anchors
    ));
    Ok(())
}

fn say(who: &str, what: &str) {
    println!("\n■ {who}: {what}");
}

fn done(what: &str) {
    println!("   ✓ {what}");
}

fn refused(answer: &Answer) {
    let body = &answer.body;
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let rule =
        if body["rule"].is_null() { String::new() } else { format!("［{} {}］", text("rule"), text("requirement")) };
    println!("   × {}。{}{rule}（期待どおり断りました）", text("title"), text("detail"));
}

fn receipt_line(answer: &Answer) -> String {
    let counts = &answer.body["report"]["counts"];
    format!(
        "受付番号 {}、読んだ記録 {}、反映 {}、取込不可 {}",
        answer.body["receipt"].as_str().unwrap_or_default(),
        counts["read"],
        counts["applied"],
        counts["refused"]
    )
}

fn show_page(page: &Value) {
    println!(
        "   {} さん（{}）",
        page["person"]["name"].as_str().unwrap_or_default(),
        page["person"]["kana"].as_str().unwrap_or_default()
    );
    for kind in page["kinds"].as_array().into_iter().flatten() {
        println!(
            "     {} {} {}件",
            kind["mark"].as_str().unwrap_or_default(),
            kind["name"].as_str().unwrap_or_default(),
            kind["documents"].as_array().map_or(0, Vec::len)
        );
    }
    for kind in page["hidden"].as_array().into_iter().flatten() {
        println!(
            "     × {} {}",
            kind["name"].as_str().unwrap_or_default(),
            kind["reason"].as_str().unwrap_or_default()
        );
    }
}

/// The package with its last file cut in the middle, digest unchanged in the manifest.
fn broken(package: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let mut broken = package.to_vec();
    if let Some((_, bytes)) = broken.iter_mut().find(|(name, _)| name.contains("A3A")) {
        bytes.truncate(bytes.len() * 2 / 3);
    }
    broken
}
