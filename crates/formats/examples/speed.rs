//! How fast the reader is beside bare decoding and splitting, in one run:
//! `cargo run --release -p kiban-formats --example speed`.

use kiban_formats::Problems;
use kiban_formats::layout::{self, Dialect};
use std::time::Instant;

/// Bytes per second in millions.
fn measure(name: &str, bytes: usize, work: impl FnOnce() -> usize) {
    let start = Instant::now();
    let result = work();
    println!("{name}: {:.1} MB/s ({result})", bytes as f64 / 1e6 / start.elapsed().as_secs_f64());
}

fn main() {
    let row = "202407,999003,0001234567,20260325,20260325,1,\"浴室で転ばずに入浴したい\",1,\"自宅で入浴を続けられる\",\
        \"見守りがあれば浴槽をまたげる\",\"R8.4.1～R9.3.31\",\"R8.4.1～R8.9.30\",1,\"入浴の見守りと一部介助\",Y,\"訪問介護\",9970000023,\
        \"訪問介護みほん\",\"週２回\",\"R8.4.1～R8.9.30\",9970000015,\r\n";
    let (row, _, _) = encoding_rs::SHIFT_JIS.encode(row);
    let bytes = row.repeat(50_000_000 / row.len());
    measure("decode", bytes.len(), || encoding_rs::SHIFT_JIS.decode(&bytes).0.len());
    measure("decode and split", bytes.len(), || {
        encoding_rs::SHIFT_JIS.decode(&bytes).0.lines().map(|line| line.split(',').count()).sum()
    });
    let Some(layout) = layout::care_plan().file("UP2KYO") else { return };
    measure("read and check", bytes.len(), || {
        let mut problems = Problems::new("x.CSV");
        let mut reader = layout::Reader::new(layout, &bytes[..], Dialect::CARE_PLAN, &mut problems);
        std::iter::from_fn(|| reader.next_row(&mut problems)).filter(layout::Row::is_sound).count()
    });
    let mut state = 1u64;
    let mut noise = Vec::with_capacity(100_000_000);
    while noise.len() < 100_000_000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        noise.extend_from_slice(&state.to_le_bytes()[3..]);
    }
    measure("noise", noise.len(), || layout::read(layout, "x.CSV", &noise, Dialect::CARE_PLAN).1.len());
    let quotes = b"\"a,\n".repeat(25_000_000);
    measure("quotes", quotes.len(), || layout::read(layout, "x.CSV", &quotes, Dialect::CARE_PLAN).1.len());
}
