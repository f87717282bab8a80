//! Sets of slips as they go out at a month end: each message another one, of some people of the sample, from the care manager's
//! office to another. Made before the clock runs.

use super::HOST;
use super::city::World;
use anyhow::{Context as _, Result, anyhow};
use kiban_domain::PersonKey;
use kiban_domain::care_plan::ServiceSlip;
use kiban_domain::dates::ServiceMonth;
use kiban_formats::care_plan::{Sending, write_slip_set};
use kiban_sim::{Generator, plans};

/// People of one message.
pub const PEOPLE: usize = 20;
/// Messages that are made for each second of measuring: more than are sent.
const A_SECOND: u64 = 300;

/// Messages, and what each holds.
pub struct Messages {
    /// Whole requests.
    pub requests: Vec<Vec<u8>>,
    /// Files of a message.
    pub files: usize,
    /// Rows of a message.
    pub rows: usize,
    /// Bytes of a message.
    pub bytes: usize,
}

/// As many messages as can be sent in a time.
pub fn messages(world: &World, seconds: u64, token: &str) -> Result<Messages> {
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
    let mut made = Messages { requests: Vec::new(), files: 0, rows: 0, bytes: 0 };
    let people: Vec<PersonKey> = world.sample.iter().map(card_key).collect();
    for n in 0..(seconds + 1) * A_SECOND {
        // A month further each time the people of the sample have had their turn, so that no message repeats another.
        let at = usize::try_from(n)? * PEOPLE;
        let month = month.plus(i32::try_from(at / people.len().max(PEOPLE))? - 9);
        let own = (at..at + PEOPLE).filter_map(|i| people.get(i % people.len()));
        let slips: Vec<ServiceSlip> = own.map(|person| slip_of(&base, *person, month)).collect::<Result<_>>()?;
        let sending = Sending {
            sender,
            sender_type: Some(service(sender)?),
            receiver,
            receiver_type: Some(service(receiver)?),
            serial: format!("{:014}", 20_200_101_000_000 + n),
        };
        let files = write_slip_set(&slips, &sending)
            .map_err(|problems| anyhow!("{}", problems.first().map(|p| p.message_ja()).unwrap_or_default()))?;
        made.files = files.len();
        made.rows = files.iter().map(|(_, bytes)| bytes.iter().filter(|byte| **byte == b'\n').count()).sum();
        made.bytes = files.iter().map(|(_, bytes)| bytes.len()).sum();
        made.requests.push(request(&format!("/api/v1/slips?to={receiver}"), token, &files));
    }
    Ok(made)
}

/// With the number printed on the card.
fn card_key(person: &kiban_sim::SimPerson) -> PersonKey {
    PersonKey { insurer: person.insured.card_insurer, insured: person.insured.key.insured }
}

/// The slip of another person and month.
fn slip_of(base: &ServiceSlip, person: PersonKey, month: ServiceMonth) -> Result<ServiceSlip> {
    let mut slip = ServiceSlip { person, month, ..base.clone() };
    for line in &mut slip.lines {
        line.day = month.first_day().with().day(line.day.day().min(28)).build()?;
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
