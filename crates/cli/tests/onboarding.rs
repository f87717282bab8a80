//! docs/onboarding.md, followed to the letter against `kiban serve` on an empty folder: its commands are run, its pages are
//! opened over TLS with the certificates it hands out, their fields are found by the names the guide gives them. Says how many
//! actions it took and how long.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const GUIDE: &str = include_str!("../../../docs/onboarding.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// What issue and guide promise.
const MOST_ACTIONS: usize = 12;

/// `kiban serve` on ports of its own.
struct Server {
    child: Child,
    office: String,
    portal: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kiban"))
            .args(["serve", "--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = |name: &str| {
            let address = line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap();
            address.rsplit_once(':').unwrap().1.to_owned()
        };
        Self { office: port("organizations="), portal: port("public="), child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A step of the guide.
#[derive(Debug)]
struct Step<'a> {
    title: &'a str,
    /// Who does it.
    who: &'a str,
    text: &'a str,
}

impl<'a> Step<'a> {
    fn of(section: &'a str) -> Self {
        let (title, text) = section.split_once('\n').unwrap();
        let who = title.rsplit_once('（').map_or("", |(_, who)| who.trim_end_matches('）'));
        Self { title, who, text }
    }

    fn is_action(&self) -> bool {
        self.title.starts_with(|first: char| first.is_ascii_digit())
    }

    fn commands(&self) -> String {
        let blocks = self.text.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
        blocks.collect::<Vec<_>>().join("\n")
    }

    /// The page to open; none goes on with the page that is there.
    fn opens(&self) -> Option<&'a str> {
        let before = self.text.split("を開きます").next().filter(|before| before.len() < self.text.len())?;
        let line = before.rsplit('\n').next().unwrap();
        Some(line.trim().trim_matches('`'))
    }

    /// Field and value, as the tables of the guide say.
    fn fields(&self) -> Vec<(&'a str, &'a str)> {
        let rows = self.text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
        rows.filter(|(field, _)| *field != "欄").map(|(field, value)| (field, value.trim_matches('`'))).collect()
    }

    fn presses(&self) -> &'a str {
        let line = self.text.lines().find(|line| line.starts_with('「')).unwrap();
        line.split(['「', '」']).nth(1).unwrap()
    }
}

/// Everybody of the guide, what they hold and what they were told.
struct Scene {
    /// Ends before its folder goes.
    server: Option<Server>,
    folder: tempfile::TempDir,
    /// What came up on pages and terminals, by its name.
    told: HashMap<String, String>,
    /// The page in front of each, and its address.
    pages: HashMap<String, (String, String)>,
}

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A text of the guide with what was told in place of its 〔names〕, and the ports of this server.
    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.told {
            text = text.replace(&format!("〔{name}〕"), value);
        }
        if let Some(server) = &self.server {
            text = text.replace(":8443", &format!(":{}", server.office));
            text = text.replace(":9443", &format!(":{}", server.portal));
        }
        assert!(!text.contains('〔'), "nobody was told: {text}");
        text
    }

    fn run(&mut self, commands: &str) {
        let commands = commands.replace("kiban ", &format!("{} ", env!("CARGO_BIN_EXE_kiban")));
        let commands = commands.replace("examples/", &format!("{ROOT}/examples/"));
        let output = Command::new("sh").args(["-euc", &commands]).current_dir(self.folder.path()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{commands}\n{out}\n{err}");
        for (name, value) in out.lines().filter_map(|line| line.split_once(": ")) {
            self.told.insert(name.to_owned(), value.to_owned());
        }
    }

    /// What a browser of this person sends and keeps.
    fn browser(&self, who: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-L", "-H", "Accept: text/html", "-w", "%{http_code} %{content_type} %{url_effective}"]);
        curl.arg("--cacert").arg(self.path("ca.pem"));
        for option in ["-b", "-c"] {
            curl.arg(option).arg(self.path(&format!("cookies of {who}")));
        }
        curl.arg("-o").arg(self.path("answer"));
        if let Some(number) = who.strip_prefix("運用者") {
            for (option, end) in [("--cert", "crt"), ("--key", "key")] {
                curl.arg(option).arg(self.path(&format!("operator-運用端末{number}.{end}")));
            }
        } else if who != "事業所" {
            let file = format!("{}:{}", self.path("terminal.p12").display(), self.told["受取番号"]);
            curl.args(["--cert-type", "P12", "--cert", &file]);
        }
        curl
    }

    /// Sends it, and keeps the page or the file that comes.
    fn send(&mut self, who: &str, mut curl: Command) {
        let output = curl.output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{who}: {}", String::from_utf8_lossy(&output.stderr));
        let words: Vec<&str> = told.split_whitespace().collect();
        let (code, media, address) = (words[0], words[1], words[words.len() - 1].to_owned());
        let answer = std::fs::read(self.path("answer")).unwrap();
        if media == "application/octet-stream" {
            assert_eq!(code, "200", "{who}");
            std::fs::write(self.path("terminal.p12"), answer).unwrap();
            return;
        }
        let page = String::from_utf8(answer).unwrap();
        assert_eq!(code, "200", "{who} at {address}: {page}");
        if address.contains("/apply/") {
            self.told.insert("申込みのページ".to_owned(), address.clone());
        }
        for pair in page.split("<dt>").skip(1) {
            let (name, rest) = pair.split_once("</dt>").unwrap();
            self.told.insert(name.to_owned(), plain(rest.split_once("</dd>").unwrap().0));
        }
        self.pages.insert(who.to_owned(), (address, page));
    }

    fn open(&mut self, who: &str, address: &str) {
        let mut curl = self.browser(who);
        curl.arg(self.filled(address));
        self.send(who, curl);
    }

    /// Fills in the form of the button on the page in front of somebody, and presses it.
    fn press(&mut self, who: &str, button: &str, fields: &[(&str, &str)]) {
        let (address, page) = self.pages[who].clone();
        let form = page.split("<form ").skip(1).map(|rest| rest.split_once("</form>").unwrap().0);
        let form = form.filter(|form| buttons(form).any(|(text, _)| text == button)).last();
        let form = form.unwrap_or_else(|| panic!("「{button}」 is not on the page: {page}"));
        let mut sent: Vec<(String, String)> = inputs(form)
            .filter(|input| attribute(input, "type") == "hidden")
            .map(|input| (attribute(input, "name").to_owned(), attribute(input, "value").to_owned()))
            .collect();
        for (label, value) in fields {
            sent.push(choice(form, label, &self.filled(value)));
        }
        let (_, tag) = buttons(form).find(|(text, _)| text == button).unwrap();
        sent.push((attribute(tag, "name").to_owned(), attribute(tag, "value").to_owned()));
        let host: Vec<&str> = address.splitn(4, '/').collect();
        let origin = host[..3].join("/");
        let mut curl = self.browser(who);
        curl.args(["-H", &format!("Origin: {origin}")]);
        for (name, value) in sent.iter().filter(|(name, _)| !name.is_empty()) {
            curl.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        curl.arg(format!("{origin}{}", attribute(form, "action")));
        self.send(who, curl);
    }

    fn do_step(&mut self, step: &Step) {
        let commands = step.commands();
        if !commands.is_empty() {
            return self.run(&commands);
        }
        if let Some(address) = step.opens() {
            self.open(step.who, address);
        }
        self.press(step.who, step.presses(), &step.fields());
    }
}

/// The text of some HTML.
fn plain(html: &str) -> String {
    let pieces = html.split('<').enumerate();
    let texts =
        pieces.map(|(i, piece)| if i == 0 { piece } else { piece.split_once('>').map_or("", |(_, text)| text) });
    texts.collect::<String>().trim().to_owned()
}

/// Value of an attribute of the first tag; empty when it has none.
fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    let tag = tag.split_once('>').map_or(tag, |(tag, _)| tag);
    let rest = tag.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default()
}

fn inputs(form: &str) -> impl Iterator<Item = &str> {
    form.split("<input ").skip(1)
}

/// Text of each button without what only a reader aloud says, and its tag.
fn buttons(form: &str) -> impl Iterator<Item = (String, &str)> {
    form.split("<button ").skip(1).map(|rest| {
        let (tag, text) = rest.split_once("</button>").unwrap().0.split_once('>').unwrap();
        (plain(text.split("<span class=\"vh\">").next().unwrap()), tag)
    })
}

/// Name and value that a form sends for the field of this label with this choice or text in it.
fn choice(form: &str, label: &str, value: &str) -> (String, String) {
    if let Some((_, rest)) = form.split_once(&format!("<legend>{label}</legend>")) {
        let chosen =
            inputs(rest).find(|input| plain(&format!("<{}", input.split("</label>").next().unwrap())) == value);
        let chosen = chosen.unwrap_or_else(|| panic!("{label} has no {value}"));
        return (attribute(chosen, "name").to_owned(), attribute(chosen, "value").to_owned());
    }
    let labels = form.split("<label for=\"").skip(1).filter_map(|rest| rest.split_once("\">"));
    let of = labels.filter(|(_, rest)| rest.starts_with(&format!("{label}</label>"))).map(|(id, _)| id).next();
    let id = of.unwrap_or_else(|| panic!("no field {label}: {form}"));
    let (before, field) = form.split_once(&format!(" id=\"{id}\"")).unwrap();
    let name = attribute(field, "name").to_owned();
    if !before.rsplit('<').next().unwrap().starts_with("select") {
        return (name, value.to_owned());
    }
    let (list, _) = field.split_once("</select>").unwrap();
    let mut options = list.split("<option ").skip(1);
    let chosen = options.find(|option| plain(&format!("<{}", option.split("</option>").next().unwrap())) == value);
    (name, attribute(chosen.unwrap_or_else(|| panic!("{label} has no {value}")), "value").to_owned())
}

#[test]
fn a_new_office_comes_from_nothing_to_its_first_view_by_the_letter_of_the_guide() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "continuous integration must not skip the guide: curl is not here");
        println!("skipped: curl is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene { server: None, folder, told: HashMap::new(), pages: HashMap::new() };
    let (before, actions) = GUIDE.split_once("\n## 手順\n").unwrap();
    let (commands, log_ins) = before.split_once("```text\nkiban serve\n```").unwrap();
    scene.run(&Step::of(&format!("用意\n{commands}")).commands());
    scene.server = Some(Server::start(scene.folder.path()));
    for section in log_ins.split("\n### ").skip(1) {
        scene.do_step(&Step::of(section));
    }
    let begun = Instant::now();
    let steps: Vec<Step> = actions.split("\n### ").skip(1).map(Step::of).collect();
    for step in &steps {
        println!("{}", step.title);
        scene.do_step(step);
    }
    let (address, page) = &scene.pages["職員"];
    assert!(page.contains("架空 花子 さん") && page.contains("被保険者証"), "{address}: {page}");
    assert!(address.contains("/p/"), "{address}");
    let count = steps.iter().filter(|step| step.is_action()).count();
    println!("{count} actions, {:.1} s of the machine's time", begun.elapsed().as_secs_f64());
    assert!(count == steps.len() && count <= MOST_ACTIONS, "{count} of {}", steps.len());
}
