//! Sets of slips as they go out at a month end: each message another one, of some people of the sample, from the care manager's
//! office to another. Made before the clock runs.

use super::city::World;
use super::load::Requests;
use super::{HOST, Options};
use anyhow::{Context as _, Result, anyhow};
use kiban_domain::PersonKey;
use kiban_domain::care_plan::ServiceSlip;
use kiban_domain::dates::ServiceMonth;
use kiban_formats::care_plan::{Sending, write_slip_set};
use kiban_sim::{Generator, plans};
use std::fs::File;
use std::io::{BufWriter, Write as _};

/// People of one message.
pub const PEOPLE: usize = 20;
/// Messages that are made for each second of measuring: more than are sent.
const A_SECOND: usize = 300;
/// Months about which there are messages before the days of a plan are moved.
const MONTHS: usize = 60;

/// Messages, and what each holds.
pub struct Messages {
    /// Whole requests, in a file: a month end of the nation does not fit into memory.
    pub requests: Requests,
    /// Files of a message.
    pub files: usize,
    /// Rows of a message.
    pub rows: usize,
    /// Bytes of a message.
    pub bytes: usize,
}

/// How many messages: for a number of slips, or more than can be sent in a time.
pub fn count(options: &Options) -> Result<usize> {
    Ok(match options.slips {
        Some(slips) => usize::try_from(slips)?.div_ceil(PEOPLE),
        None => usize::try_from(options.seconds + 1)? * A_SECOND,
    })
}

/// So many messages, made into a file that is gone when it is closed.
pub fn messages(world: &World, count: usize, token: &str) -> Result<Messages> {
    let generator = Generator::new(&world.spec);
    let month = ServiceMonth::of(world.spec.today);
    let base = generator.clone().people().find_map(|person| plans::service_slip(&generator, &person, month));
    let mut base = base.context("nobody has a slip")?;
    let number = |login: &super::city::Login| login.organization.office().context("no office");
    let (sender, receiver) = (number(&world.care_manager)?, number(&world.nurse)?);
    let service = |number| {
        let office = generator.office(number).and_then(|office| office.service_type());
        office.context("no service type")
    };
    base.lines.iter_mut().for_each(|line| (line.office, line.planner) = (receiver, Some(sender)));
    base.table7.iter_mut().filter(|line| line.service_code != "999999").for_each(|line| line.office = receiver);
    let mut out = BufWriter::new(file_without_name()?);
    let (mut places, mut end) = (Vec::with_capacity(count), 0);
    let (mut files_each, mut rows, mut bytes_each) = (0, 0, 0);
    let people: Vec<PersonKey> = world.sample.iter().map(card_key).collect();
    for n in 0..count {
        // A month further each time the people of the sample have had their turn, then a day further, so that no message
        // repeats another.
        let at = n * PEOPLE;
        let turn = at / people.len().max(PEOPLE);
        let month = month.plus(i32::try_from(turn % MONTHS)? - 9);
        let later = i8::try_from(turn / MONTHS % 28)?;
        let own = (at..at + PEOPLE).filter_map(|i| people.get(i % people.len()));
        let slips: Vec<ServiceSlip> = own.map(|person| slip_of(&base, *person, month, later)).collect::<Result<_>>()?;
        let sending = Sending {
            sender,
            sender_type: Some(service(sender)?),
            receiver,
            receiver_type: Some(service(receiver)?),
            serial: format!("{:014}", 20_200_101_000_000 + n as u64),
        };
        let files = write_slip_set(&slips, &sending)
            .map_err(|problems| anyhow!("{}", problems.first().map(|p| p.message_ja()).unwrap_or_default()))?;
        files_each = files.len();
        rows = files.iter().map(|(_, bytes)| bytes.iter().filter(|byte| **byte == b'\n').count()).sum();
        bytes_each = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let request = request(&format!("/api/v1/slips?to={receiver}"), token, &files);
        out.write_all(&request)?;
        places.push((end, request.len()));
        end += request.len() as u64;
    }
    let requests = Requests::Filed { file: out.into_inner().map_err(|error| error.into_error())?, places };
    Ok(Messages { requests, files: files_each, rows, bytes: bytes_each })
}

/// A file that is gone when it is closed.
fn file_without_name() -> Result<File> {
    let path = std::env::temp_dir().join(format!("kiban-bench-slips-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// With the number printed on the card.
fn card_key(person: &kiban_sim::SimPerson) -> PersonKey {
    PersonKey { insurer: person.insured.card_insurer, insured: person.insured.key.insured }
}

/// The slip of another person and month, so many days later.
fn slip_of(base: &ServiceSlip, person: PersonKey, month: ServiceMonth, later: i8) -> Result<ServiceSlip> {
    let mut slip = ServiceSlip { person, month, ..base.clone() };
    for line in &mut slip.lines {
        let day = (line.day.day().min(28) - 1 + later) % 28 + 1;
        line.day = month.first_day().with().day(day).build()?;
    }
    if let Some(supplement) = &mut slip.supplement {
        supplement.month = Some(month);
    }
    Ok(slip)
}

fn request(path: &str, token: &str, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    const BOUNDARY: &str = "kiban-bench-slips";
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head =
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n");
        body.extend(head.as_bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {token}\r\ncontent-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}
