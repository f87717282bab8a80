// Writes docs/screens.md and its pictures from those that browser.mjs took (scripts/screens.sh).
//
// usage: node screens.mjs FOLDER_OF_PICTURES DOCS
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const [shots, docs] = process.argv.slice(2);
const ROLES = {
  "care-manager": "居宅介護支援事業所の介護支援専門員",
  "home-help": "訪問介護事業所",
  hospital: "医療機関",
  city: "市区町村",
  operator: "運用者",
  nobody: "ログインの前（公開）",
  person: "本人・家族",
};
/** Shown for each role: everybody finds something else there. */
const OWN = ["/today", "/help", "/admin", "/p/{}", "/users", "/p/{}/timeline"];
/** Pixels shown of a long page. */
const TALLEST = 5000;

/** The upper part of a picture that is longer; width and height stand at the head of a PNG. */
function cut(file) {
  const head = readFileSync(file);
  const [width, height] = [head.readUInt32BE(16), head.readUInt32BE(20)];
  return height > TALLEST ? ["-crop", "0", "0", `${width}`, `${TALLEST}`] : [];
}

const pages = JSON.parse(readFileSync(`${shots}/pages.json`, "utf8"));
rmSync(`${docs}/screens`, { recursive: true, force: true });
mkdirSync(`${docs}/screens`);
const seen = new Set();
let text = `# 画面の一覧 — Every page

架空の人だけがいるデモを、本物のブラウザー（Chromium）で撮ったものです。左がパソコン（幅 1280）、右が電話（幅 390）。長い画面は途中までです。どの画面で何をするかは
[pages.md](pages.md) にあります。作り直すには \`scripts/screens.sh\`。

*Every page of every role with invented people, at 1280 and 390 px, long ones not to their end. Made by \`scripts/screens.sh\`; a page that several roles share is shown once.*
`;
for (const [role, words] of Object.entries(ROLES)) {
  const own = pages.filter((page) => page.name === role && (OWN.includes(page.path) || !seen.has(page.path)));
  text += `\n## ${words}\n`;
  for (const page of own) {
    seen.add(page.path);
    const cells = [1280, 390].map((width) => {
      const picture = `${page.file}-${width}`;
      execFileSync("pngquant", ["--speed", "8", "--nofs", "--force", "16", "--output", `${shots}/small.png`, `${shots}/${picture}.png`]);
      execFileSync("cwebp", ["-quiet", "-lossless", "-z", "6", ...cut(`${shots}/small.png`), `${shots}/small.png`, "-o", `${docs}/screens/${picture}.webp`]);
      const name = `${page.title.trim()}（幅 ${width}）`;
      return `<img src="screens/${picture}.webp" alt="${name}" width="${width === 1280 ? 560 : 190}">`;
    });
    text += `\n### ${page.title.trim()} \`${page.path}\`\n\n${cells.join(" ")}\n`;
  }
}
writeFileSync(`${docs}/screens.md`, text);
