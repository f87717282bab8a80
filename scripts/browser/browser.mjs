// The pages in a real browser (Chromium), over real TLS with the certificates of a demo: every page that can be reached from
// the start page of each role, at a desktop's and at a telephone's width, and the main paths without a script and by keyboard.
//
// usage: node browser.mjs CERTIFICATES OFFICE_URL PUBLIC_URL PEOPLE.json [FOLDER FOR SCREENSHOTS]
// PEOPLE.json: an exported INSURED file, for what people carry in their heads
import { chromium } from "playwright-core";
import { readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import dns from "node:dns";

// Every name under .localhost is this machine, whatever its resolver says.
const here = (host) => (host.endsWith(".localhost") ? "127.0.0.1" : host);
for (const resolver of [dns, dns.promises]) {
  const real = resolver.lookup;
  resolver.lookup = (host, ...rest) => real(here(host), ...rest);
}

const [certificates, office, open, insured, shots] = process.argv.slice(2);
const people = JSON.parse(readFileSync(insured, "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PASSWORD = "mihon-dake-no-aikotoba-2026";
const ROLES = {
  "care-manager": "care_manager1",
  "home-help": "care_worker1",
  hospital: "physician1",
  city: "municipal_officer1",
  operator: "operator_staff1",
};
/** Bytes of a page with everything it loads, without fonts. */
const WEIGHT = 150_000;

let faults = 0;
/** What there is a picture of. */
const looked = [];
const fault = (where, what) => {
  faults += 1;
  console.log(`  ✗ ${where}: ${what}`);
};

/** Seconds a window may take to open. */
const TO_OPEN = 60;

/**
 * A window of somebody's own: no cookie of another, the certificate of their terminal. Each in a browser of its own, as at each
 * desk; one that does not open in time says nothing of the pages, and another is tried once.
 */
async function window_of(role, more = {}) {
  for (const last of [false, true]) {
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
    let clock;
    const late = new Promise((_, fail) => (clock = setTimeout(() => fail(new Error(`no window in ${TO_OPEN} seconds`)), TO_OPEN * 1000)));
    try {
      return await Promise.race([page_in(browser, role, more), late]);
    } catch (error) {
      browser.close().catch(() => {});
      if (last) throw error;
      console.log(`  another browser is tried: ${error.message.split("\n")[0]}`);
    } finally {
      clearTimeout(clock);
    }
  }
}

async function page_in(browser, role, more) {
  const clientCertificates = role && [
    { origin: office, certPath: `${certificates}/${role}.crt`, keyPath: `${certificates}/${role}.key` },
  ];
  const context = await browser.newContext({
    ignoreHTTPSErrors: true, // The certification authority of the demo is not installed here; curl and the tests check it.
    locale: "ja-JP",
    timezoneId: "Asia/Tokyo",
    viewport: { width: 1280, height: 900 },
    clientCertificates: clientCertificates || undefined,
    ...more,
  });
  return context.newPage();
}

async function log_in(page, account) {
  await page.goto(`${office}/login`);
  await page.fill("#account", account);
  await page.fill("#password", PASSWORD);
  await page.click("main button[type=submit]");
  if (!page.url().endsWith("/today")) fault(account, `the log-in led to ${page.url()}`);
}

/** A page by its kind: /p/{…}/looks is looked at for one person. */
const kind_of = (path) => path.split("?")[0].replace(/(?<=\/)[0-9a-f]{16,}(?=\/|$)/g, "{}").replace(/(?<=\/(insurers|people|rules)\/)[^/]+/, "{}");

async function look(page, base, path, name, from) {
  const where = `${name} ${kind_of(path)}${from ? ` (from ${kind_of(from)})` : ""}`;
  const told = [];
  const hear = (message) => message.type() === "error" && !message.location().url.endsWith("/favicon.ico") && told.push(message.text());
  const broken = (error) => told.push(error.message);
  let weight = 0;
  const weigh = async (answer) => (weight += (await answer.body().catch(() => Buffer.alloc(0))).length);
  page.on("console", hear).on("pageerror", broken).on("response", weigh);
  await page.setViewportSize({ width: 1280, height: 900 });
  const answer = await page.goto(base + path);
  if (answer.status() !== 200) fault(where, `answered ${answer.status()}`);
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => (await window.axe.run()).violations.map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`));
  for (const one of violations) fault(where, `axe ${one}`);
  const headings = await page.locator("h1").count();
  if (headings !== 1) fault(where, `${headings} headings h1`);
  if (weight > WEIGHT) fault(where, `${weight} bytes`);
  const links = await page.$$eval("a[href]", (all) => all.filter((a) => !a.hasAttribute("download")).map((a) => a.href));
  const shot = shots && `${shots}/${name}${kind_of(path).replace(/[^a-z0-9]+/g, "_")}`;
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (over > 0) fault(where, `${over} px wider than the window at ${width} px`);
    if (shot) await page.screenshot({ path: `${shot}-${width}.png`, fullPage: true });
  }
  if (shot) looked.push({ name, path: kind_of(path), file: shot.slice(shots.length + 1), title: await page.locator("h1").first().innerText() });
  page.off("console", hear).off("pageerror", broken).off("response", weigh);
  for (const one of told) fault(where, `said ${one}`);
  return links;
}

/** Every kind of page that links lead to from the first ones on. */
async function crawl(page, base, first, name) {
  const seen = new Set();
  const waiting = first.map((path) => [path]);
  while (waiting.length) {
    const [path, from] = waiting.shift();
    const kind = kind_of(path);
    if (seen.has(kind)) continue;
    seen.add(kind);
    for (const link of await look(page, base, path, name, from)) {
      const url = new URL(link);
      const is_file = /\.(csv|json|svg|txt|crl|pem|p12|cer)$|\/(files|original|download)\b/i.test(url.pathname);
      if (url.origin === base && !is_file) waiting.push([url.pathname + url.search, path]);
    }
  }
  console.log(`${name}: ${seen.size} kinds of pages`);
  return seen.size;
}

if (shots) mkdirSync(shots, { recursive: true });
// What the operator puts up stands on everybody's first page, and is looked at there.
const board = await window_of("operator");
await log_in(board, ROLES.operator);
await board.goto(`${office}/operator/announcements`);
const first_day = (await board.locator("#h3").innerText()).replace("例：", "");
const told = { title: "年末年始の休止", body: "12月29日 20時から12月30日 6時まで止まります。\nその間は、印刷した一覧で仕事を続けてください。", from: first_day, to: first_day };
for (const [name, value] of Object.entries(told)) await board.fill(`#${name}`, value);
await board.click("main form button.btn--main");
if (!(await board.locator("main").innerText()).includes("掲示しました")) fault("announcement", "not put up");
await board.context().browser().close();
let pages = 0;
for (const [role, account] of Object.entries(ROLES)) {
  const page = await window_of(role);
  await log_in(page, account);
  pages += await crawl(page, office, ["/today"], role);
  await page.context().browser().close();
}
const nobody = await window_of(null);
pages += await crawl(nobody, open, ["/", "/start-dates", "/apply"], "nobody");
await nobody.context().browser().close();

// The person's own door, behind a log-in at an independent provider: the same looks, and each family page with it.
const person_window = await window_of(null, { extraHTTPHeaders: { "x-account": "0001000001" } });
await person_window.goto(`${open}/me`);
await person_window.click('main a[href="/me/login"], main form[action="/me/login"] button');
await person_window.waitForURL("**/me/now");
pages += await crawl(person_window, open, ["/me/now"], "person");
await person_window.context().browser().close();

/** What lies on the table when somebody is registered, read from the page of one of the care manager's users. */
async function card_of(page, place) {
  await page.goto(`${office}/users`);
  await page.locator('main a[href^="/p/"]').nth(place).click();
  const text = await page.locator("main").innerText();
  const card = {
    insurer_number: text.match(/(?<!\d)\d{6}(?!\d)/)?.[0],
    insured_number: text.match(/(?<!\d)\d{10}(?!\d)/)?.[0],
    kana: text.match(/[ァ-ヶー]+ [ァ-ヶー]+/)?.[0],
    birth: text.match(/(明治|大正|昭和|平成)(元|\d+)年\d+月\d+日/)?.[0],
  };
  if (Object.values(card).some((value) => !value)) fault("the card", `not read from the page: ${JSON.stringify(card)}`);
  return card;
}

// Without a script: a home helper registers somebody whose card lies on the table, and sees the page.
const planner = await window_of("care-manager", { javaScriptEnabled: false });
await log_in(planner, ROLES["care-manager"]);
const [card, card_with_plan] = [await card_of(planner, 0), await card_of(planner, 1)];
await planner.context().browser().close();

const helper = await window_of("home-help", { javaScriptEnabled: false });
await log_in(helper, ROLES["home-help"]);
const type = async (values) => {
  await helper.goto(`${office}/users/new`);
  for (const [name, value] of Object.entries(values)) await helper.fill(`#${name}`, value);
};
const send = () => helper.click("main form button.btn--main");
await type({ ...card, birth: "昭和17年13月8日" });
await helper.check('input[name="sex"][value="female"]');
await send();
if (!(await helper.title()).startsWith("エラー：")) fault("a wrong birthday", await helper.title());
if ((await helper.inputValue("#kana")) !== card.kana) fault("a wrong birthday", "what was typed is gone");
for (const sex of ["female", "male"]) {
  await type(card);
  await helper.check(`input[name="sex"][value="${sex}"]`);
  await send();
  if (/\/p\//.test(helper.url())) break;
}
if (!/\/p\//.test(helper.url())) fault("registration without a script", `ended at ${helper.url()}`);
// Going back leads to the empty form, which sends nothing by itself.
const registered = helper.url();
await helper.goBack();
if (!helper.url().endsWith("/users/new")) fault("going back", `leads to ${kind_of(new URL(helper.url()).pathname)}`);
await helper.goto(registered);
if (/\d{10}/.test(helper.url().replace(/[0-9a-f]{16,}/, ""))) fault("registration", `a number in ${helper.url()}`);
await helper.context().browser().close();

// Two windows of one log-in: one logs out, what is sent from the other is not lost but waits for the next log-in.
const desk = await window_of("home-help");
await log_in(desk, ROLES["home-help"]);
await desk.goto(`${office}/users/new`);
await desk.fill("#kana", "ケンソウ タロウ");
const beside = await desk.context().newPage();
await beside.goto(`${office}/today`);
await beside.locator('form[action="/logout"] button >> visible=true').first().click();
await beside.close();
await desk.click("main form button.btn--main");
if (!/入力したものは残っています/.test(await desk.locator("main").innerText())) fault("two windows", "what was typed is gone");
await desk.fill("#account", ROLES["home-help"]);
await desk.fill("#password", PASSWORD);
await desk.click("main form button");
if (!/まだ送っていません/.test(await desk.locator("main").innerText())) fault("two windows", "it is not offered after the log-in");
await desk.click("main form button.btn--main");
if ((await desk.inputValue("#kana")) !== "ケンソウ タロウ") fault("two windows", "the form does not hold what was typed");
await desk.context().browser().close();

// By keyboard alone: the first stop is the way past the menu; the log-in and the list need no mouse.
const keyboard = await window_of("care-manager");
await keyboard.goto(`${office}/login`);
await keyboard.keyboard.press("Tab");
if ((await keyboard.evaluate(() => document.activeElement.textContent)) !== "本文へ進む") fault("keyboard", "the first stop is not 本文へ進む");
const reach = async (selector) => {
  for (let stops = 0; stops < 60; stops += 1) {
    if (await keyboard.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return;
    await keyboard.keyboard.press("Tab");
  }
  fault("keyboard", `${selector} cannot be reached at ${keyboard.url()}`);
};
await reach("#account");
await keyboard.keyboard.type(ROLES["care-manager"]);
await reach("#password");
await keyboard.keyboard.type(PASSWORD);
await Promise.all([keyboard.waitForURL("**/today"), keyboard.keyboard.press("Enter")]);
await keyboard.goto(`${office}/users`);
await reach('main a[href^="/p/"]');
await Promise.all([keyboard.waitForURL("**/p/**"), keyboard.keyboard.press("Enter")]);
await keyboard.context().browser().close();

/** Somebody at work, whose actions are counted: a click or a send is one, and a field typed or chosen is one. */
async function at_work(role) {
  const page = await window_of(role);
  await log_in(page, ROLES[role]);
  let [count, since] = [0, Date.now()];
  return {
    page,
    begin: async (path) => {
      await page.goto(office + path);
      [count, since] = [0, Date.now()];
    },
    click: (selector) => ((count += 1), page.locator(`${selector} >> visible=true`).first().click()),
    type: (name, value) => ((count += 1), page.fill(`#${name}`, value)),
    choose: (name, value) => ((count += 1), page.check(`input[name="${name}"][value="${value}"]`)),
    /** It is done when the page says so, in no more actions than these. */
    done: async (task, most, words) => {
      const text = await page.locator("main").innerText();
      if (!words.test(text)) fault(task, `${words} is not on ${kind_of(new URL(page.url()).pathname)}`);
      // What a person waits for: the answers and their painting, without their own hands and eyes.
      console.log(`${task}: ${count} actions (goal ${most}), ${((Date.now() - since) / 1000).toFixed(1)} s of waiting`);
      if (count > most) fault(task, `${count} actions, more than ${most}`);
    },
  };
}

// The questions of the day, in how many actions (docs/pages.md).
const manager = await at_work("care-manager");
await manager.begin("/today");
await manager.click('nav a[href="/users"]');
await manager.done("is the 意見書 in?", 1, /意見書[^]*\d+月\d+日/);

const worker = await at_work("home-help");
await worker.page.goto(`${office}/users`);
await worker.page.locator("main tr", { hasText: card_with_plan.insured_number }).locator('a[href^="/p/"]').first().click();
await worker.page.locator('main a[href$="/end"]').click();
await worker.page.click("main form button[type=submit]");
await worker.begin("/today");
await worker.click('main a[href="/users/new"]');
for (const [name, value] of Object.entries(card_with_plan)) await worker.type(name, value);
await worker.choose("sex", "female");
await worker.click("main form button.btn--main");
await worker.click('main a[href="#plan"]');
await worker.done("register a user and see the plan", 9, /カナリア課題/);
await worker.page.context().browser().close();

await manager.page.locator("main tr", { hasText: card_with_plan.insured_number }).locator('a[href^="/p/"]').first().click();
const person = new URL(manager.page.url()).pathname;
await manager.page.goto(`${office}${person}/consent`);
await manager.page.check('input[name="act"][value="withdrawn"]');
await manager.page.click("main form button.btn--main");
await manager.begin("/users");
await manager.click(`main a[href="${person}"]`);
await manager.click(`main a[href="${person}/consent"]`);
await manager.choose("act", "given");
await manager.click("main form button.btn--main");
await manager.page.goto(office + person);
await manager.done("take a consent", 6, /カナリア課題/);
await manager.page.context().browser().close();

// A doctor writes: what the last one said is carried over, the day of the last examination is typed. Going from chapter to chapter
// belongs to the typing.
const doctor = await at_work("hospital");
await doctor.begin("/opinions");
await doctor.click('main a[href$="/basics"]');
await doctor.page.fill('[name="last_examined_on"]', "令和8年6月26日");
while (!/確認/.test(await doctor.page.locator("main button.btn--main").innerText())) {
  const before = doctor.page.url();
  await doctor.page.click("main button.btn--main");
  if (doctor.page.url() === before) {
    fault("send an 意見書", `it does not go on from ${kind_of(new URL(before).pathname)}`);
    break;
  }
}
await doctor.click("main button.btn--main");
await doctor.click("main button.btn--main");
await doctor.done("send an 意見書", 4, /送りました/);
await doctor.page.context().browser().close();

// A disaster: two operators open the mode over two terminals, and somebody who carries no card is found.
const opened_by = await window_of("operator");
await log_in(opened_by, ROLES.operator);
await opened_by.goto(`${office}/operator/disasters`);
const today = (await opened_by.locator("#h5").innerText()).replace("例：", "");
for (const [name, value] of Object.entries({ event: "見本地震", areas: "999003", from: today, to: today })) await opened_by.fill(`#${name}`, value);
await opened_by.click("main form button.btn--main");
await opened_by.goto(`${office}/operator/disasters`);
const mode = new URL(await opened_by.locator("main a", { hasText: "見本地震" }).first().evaluate((a) => a.href)).pathname;
await opened_by.context().browser().close();
const second = await window_of("second-operator");
await log_in(second, "second_operator");
await second.goto(office + mode);
await second.click('main button[value="approve"]');
await second.context().browser().close();
const [evacuee] = people.filter((row) => row["不開示区分"] === "0").slice(20);
const shelter = await at_work("home-help");
await shelter.begin("/today");
await shelter.click('.emg a[href="/disaster"]');
await shelter.choose("scene", "shelter");
await shelter.type("name", evacuee["氏名"]);
await shelter.type("birth", evacuee["生年月日"]);
await shelter.click("main form button.btn--main");
await shelter.done("find an evacuee", 5, /一人に決まりました/);
await shelter.page.context().browser().close();

if (shots) writeFileSync(`${shots}/pages.json`, JSON.stringify(looked));
console.log(faults ? `${faults} faults on ${pages} kinds of pages` : `${pages} kinds of pages: nothing to mend`);
process.exit(faults ? 1 : 0);
