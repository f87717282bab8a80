//! Every rule of a passkey refuses on its own, and what is cut short is never more than that.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod soft;

use kiban_pki::passkey::{Answer, Fault, Made, Site, check_answer, read_made};
use soft::{Said, SaidAnswer, Soft, bytes, map, number, p256, text};

const CHALLENGE: [u8; 32] = [9; 32];

fn site() -> Site {
    Site::of("https://office.kiban.test")
}

fn right() -> Said {
    Said::right(&site(), &CHALLENGE)
}

fn read(soft: &Soft, said: &Said) -> Result<Made, Fault> {
    let made = soft.make(said);
    read_made(&site(), &CHALLENGE, &made.client_data, &made.attestation)
}

fn check(soft: &Soft, counter: u32, said: &SaidAnswer) -> Result<u32, Fault> {
    let SaidAnswer { client_data, authenticator_data, signature } = said;
    let answer = Answer { client_data, authenticator_data, signature };
    check_answer(&site(), &CHALLENGE, (&soft.cose(), counter), answer)
}

#[test]
fn a_passkey_is_made_and_answers() {
    for mut soft in [Soft::p256(), Soft::ed25519()] {
        soft.counter = 4;
        let made = read(&soft, &right()).unwrap();
        assert_eq!(made, Made { credential: soft.credential.clone(), key: soft.cose(), counter: 4 });
        soft.counter = 5;
        assert_eq!(check(&soft, made.counter, &soft.answer(&right())), Ok(5));
    }
}

/// A way to say something wrong, and what it is refused for.
type Wrong = (fn(&mut Said), Fault);

const WRONG: [Wrong; 10] = [
    (|said| said.origin = "https://office.kiban.test:8443".to_owned(), Fault::Origin),
    (|said| said.origin = "http://office.kiban.test".to_owned(), Fault::Origin),
    (|said| said.origin = "https://office.kiban.test.example.jp".to_owned(), Fault::Origin),
    (|said| said.rp_id = "kiban.test".to_owned(), Fault::Host),
    (|said| said.challenge[31] ^= 1, Fault::Challenge),
    (|said| said.challenge.truncate(31), Fault::Challenge),
    (|said| said.flags = 4, Fault::NotPresent),
    (|said| said.flags = 1, Fault::NotVerified),
    (|said| said.flags |= 1 << 4, Fault::Malformed),
    (|said| said.purpose = "webauthn.something", Fault::Purpose),
];

#[test]
fn each_rule_refuses_on_its_own_when_it_is_made_and_when_it_is_used() {
    let soft = Soft::p256();
    for (place, (change, fault)) in WRONG.iter().enumerate() {
        let mut said = right();
        change(&mut said);
        assert_eq!(read(&soft, &said), Err(*fault), "made: {place}");
        assert_eq!(check(&soft, 0, &soft.answer(&said)), Err(*fault), "used: {place}");
    }
    // What was said for the one is not good for the other.
    assert_eq!(read(&soft, &Said { purpose: "webauthn.get", ..right() }), Err(Fault::Purpose));
    let made = Said { purpose: "webauthn.create", ..right() };
    assert_eq!(check(&soft, 0, &soft.answer(&made)), Err(Fault::Purpose));
    // Inside a page of somebody else.
    let mut inside = soft.answer(&right());
    let data = String::from_utf8(inside.client_data).unwrap().replace("\"crossOrigin\":false", "\"crossOrigin\":true");
    inside.client_data = data.into_bytes();
    assert_eq!(check(&soft, 0, &inside), Err(Fault::Origin));
    // Two origins, of which each reader takes another.
    let data = String::from_utf8(soft.answer(&right()).client_data).unwrap();
    inside.client_data = data.replacen('{', "{\"origin\":\"https://example.jp\",", 1).into_bytes();
    assert_eq!(check(&soft, 0, &inside), Err(Fault::Malformed));
}

#[test]
fn a_signature_is_of_this_key_over_exactly_this() {
    for (soft, other) in [(Soft::p256(), Soft::p256()), (Soft::ed25519(), Soft::ed25519())] {
        assert_eq!(check(&soft, 0, &other.answer(&right())), Err(Fault::Signature));
        let mut said = soft.answer(&right());
        said.signature.pop();
        assert_eq!(check(&soft, 0, &said), Err(Fault::Signature));
        let mut said = soft.answer(&right());
        // The counter, which decides whether there is a copy.
        said.authenticator_data[36] += 1;
        assert_eq!(check(&soft, 0, &said), Err(Fault::Signature));
        let mut said = soft.answer(&right());
        said.client_data.push(b' ');
        assert_eq!(check(&soft, 0, &said), Err(Fault::Signature));
    }
}

#[test]
fn a_counter_goes_on_or_is_not_there_at_all() {
    let mut soft = Soft::p256();
    for (stored, told, fits) in
        [(0, 0, true), (0, 1, true), (7, 8, true), (7, 7, false), (7, 6, false), (7, 0, false), (u32::MAX, 0, false)]
    {
        soft.counter = told;
        let expected = if fits { Ok(told) } else { Err(Fault::Counter) };
        assert_eq!(check(&soft, stored, &soft.answer(&right())), expected, "{stored} {told}");
    }
}

#[test]
fn a_key_of_another_kind_curve_or_length_is_not_taken() {
    let soft = Soft::p256();
    let made = |cose: &[u8]| {
        let made = soft.make_with(&right(), cose);
        read_made(&site(), &CHALLENGE, &made.client_data, &made.attestation).map(|_| ())
    };
    let (x, y) = ([7; 32], [8; 32]);
    assert_eq!(made(&p256(1, &x, &y)), Ok(()));
    for wrong in [p256(2, &x, &y), p256(8, &x, &y), p256(1, &x[1..], &y), p256(1, &x, &[8; 33]), p256(1, &[], &y)] {
        assert_eq!(made(&wrong), Err(Fault::Key));
    }
    let rsa_of = |bytes: usize, first: u8| rsa(&[vec![first], vec![5; bytes - 1]].concat());
    assert_eq!(made(&rsa_of(256, 0x80)), Ok(()));
    for wrong in [rsa_of(256, 0x7f), rsa_of(255, 0xff), rsa_of(128, 0xff), rsa_of(257, 0), rsa_of(1025, 1)] {
        assert_eq!(made(&wrong), Err(Fault::Key));
    }
    let ed25519 = |curve: i64, x: &[u8]| {
        map(&[(number(1), number(1)), (number(3), number(-8)), (number(-1), number(curve)), (number(-2), bytes(x))])
    };
    assert_eq!(made(&ed25519(6, &x)), Ok(()));
    assert_eq!([made(&ed25519(4, &x)), made(&ed25519(6, &x[1..]))], [Err(Fault::Key), Err(Fault::Key)]);
    // ES384, and a member that is there twice.
    let other = map(&[(number(1), number(2)), (number(3), number(-35)), (number(-1), number(2))]);
    assert_eq!(made(&other), Err(Fault::Key));
    let twice = map(&[(number(1), number(2)), (number(1), number(2))]);
    assert_eq!(made(&twice), Err(Fault::Malformed));
}

#[test]
fn an_rsa_key_checks_the_signature_that_openssl_made() {
    let (n, signature) = (hex(N), hex(SIGNATURE));
    let challenge: Vec<u8> = (0..32).collect();
    let said = Said::right(&site(), &challenge);
    let (client_data, data) = (said.client_data("webauthn.get"), said.data(soft::UP_UV, 0));
    let answer = Answer { client_data: &client_data, authenticator_data: &data, signature: &signature };
    assert_eq!(check_answer(&site(), &challenge, (&rsa(&n), 0), answer), Ok(0));
    let mut other = n.clone();
    other[9] ^= 1;
    assert_eq!(check_answer(&site(), &challenge, (&rsa(&other), 0), answer), Err(Fault::Signature));
}

#[test]
fn what_is_cut_short_at_any_byte_or_goes_on_is_refused() {
    let soft = Soft::p256();
    let made = soft.make(&right());
    for end in 0..made.attestation.len() {
        let cut = read_made(&site(), &CHALLENGE, &made.client_data, &made.attestation[..end]);
        assert_eq!(cut, Err(Fault::Malformed), "{end}");
    }
    for end in 0..made.client_data.len() {
        let cut = read_made(&site(), &CHALLENGE, &made.client_data[..end], &made.attestation);
        assert_eq!(cut, Err(Fault::Malformed), "{end}");
    }
    let more = [&made.attestation[..], &[0]].concat();
    assert_eq!(read_made(&site(), &CHALLENGE, &made.client_data, &more), Err(Fault::Malformed));
    // Cut inside, where the lengths outside are right.
    let with = |data: &[u8]| {
        map(&[(text("authData"), bytes(data)), (text("fmt"), text("packed")), (text("attStmt"), map(&[]))])
    };
    let data = &made.attestation[made.attestation.len() - (37 + 18 + 32 + soft.cose().len())..];
    assert!(read_made(&site(), &CHALLENGE, &made.client_data, &with(data)).is_ok(), "in any order");
    for end in 0..data.len() {
        let cut = read_made(&site(), &CHALLENGE, &made.client_data, &with(&data[..end]));
        assert_eq!(cut, Err(Fault::Malformed), "{end}");
    }
    let answer = soft.answer(&right());
    for end in 0..answer.authenticator_data.len() {
        let cut = SaidAnswer {
            client_data: answer.client_data.clone(),
            authenticator_data: answer.authenticator_data[..end].to_vec(),
            signature: answer.signature.clone(),
        };
        assert_eq!(check(&soft, 0, &cut), Err(Fault::Malformed), "{end}");
    }
    // Each byte another one: refused or read, never more.
    for at in 0..made.attestation.len() {
        for bit in 0..8 {
            let mut other = made.attestation.clone();
            other[at] ^= 1 << bit;
            let _ = read_made(&site(), &CHALLENGE, &made.client_data, &other);
        }
    }
}

fn rsa(n: &[u8]) -> Vec<u8> {
    let (kind, algorithm) = ((number(1), number(3)), (number(3), number(-257)));
    map(&[kind, algorithm, (number(-1), bytes(n)), (number(-2), bytes(&[1, 0, 1]))])
}

fn hex(text: &str) -> Vec<u8> {
    let text = text.replace(' ', "");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// `openssl genrsa 2048`, its public part.
const N: &str = "e1a5c762182ab5fecb350c5edadf17609f1c4dff6d6c2cec6b8de8b8216d8bb9f49b751405d17185bb0183634ca2e263ddbc \
    96d27c1c2d0d7fb47c7789d0bbc06eddd2f15d0bcb7bd12bec49acf9141cb5985fe4fdf1c8ff979a9d44ab2305c8ba74b826 \
    9188de2fb559ea73605c0a873c4841ab0603132336b3f342aa5da7e28132b222b57aeaa101afd343f2dcedfc69b4810e881d \
    154da49a3c7d6e2cf7ee52a1cc5c6b00eb8b6c11a3d4b5baefb165437da01870114838d990665909c46d30ff66608c866ef4 \
    752c15955987b91ffbb9dbd305f9d58e2d6705a49868aa35544cc62ecc0a34d136e2820cf360dc376a1506187ec92617067c \
    1a6cf3ee1273";

/// `openssl dgst -sha256 -sign` over the authenticator data and the digest of the client data.
const SIGNATURE: &str = "789ef4176d045b8512afd3e37f21c910e94b7d49cea62117fa209393506240b73ba115c667b39175ce73cc26cc6caa15d652 \
    755fb244465bc9d209f1faef28a120b1dbde7946de2b29d2cfeb5e844274ceaeebca9c1c58fd87ff61b20890e60440a46620 \
    aa5b59a459c75f783a7b59e81809e5adcaac406ec95c70dbc6cd2be3e0ee41ea239e4db085bde64106786172d3f0b9c7c509 \
    d53695f46e5c3488c551ae5f561e895a1d454923b52e07aee427e2c764b7bebf2372a491c448529fd5818c86ade35359ea9a \
    a3e12f532ead353b29505759c08649e2c0c442707f14ae42ebcf16522814c80222dd8e9ac478a1b44a308be9eb657edf6d29 \
    167abf4c0b84";
