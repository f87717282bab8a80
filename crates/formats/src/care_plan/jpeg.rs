//! Whether bytes are one whole JPEG image, and how large it is: the marker segments are walked from the first byte to the
//! last. The picture itself is not decoded; nothing here trusts a length in the file.

/// Bytes an image may have.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Pixels an image may have on a side.
const MAX_SIDE: u16 = 8_192;

/// Width and height in pixels, or what is wrong with the file, in Japanese.
pub fn size(bytes: &[u8]) -> Result<(u16, u16), String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("画像が {} KiB を超えています。小さくして送ってください", MAX_BYTES / 1024));
    }
    let (width, height) = walk(bytes).ok_or(
        "JPEG の画像として読めません。JPEG で保存し直してください（拡張子だけを変えた別の形式、途中で切れた画像、後ろに別のものが付いた画像は受け付けません）",
    )?;
    if width.max(height) > MAX_SIDE {
        return Err(format!("画像が {width}×{height} 画素あります。縦横とも {MAX_SIDE} 画素以内にしてください"));
    }
    Ok((width, height))
}

/// The frame of an image that begins with SOI, has one frame and at least one scan, and ends with EOI and nothing behind.
fn walk(bytes: &[u8]) -> Option<(u16, u16)> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    let (mut frame, mut scans) = (None, 0);
    loop {
        // Fill bytes may stand before a marker.
        let at = rest.iter().position(|b| *b != 0xff).filter(|at| *at > 0)?;
        let marker = rest[at];
        rest = &rest[at + 1..];
        match marker {
            0xd9 => return frame.filter(|_| scans > 0 && rest.is_empty()),
            0x01 | 0xd0..=0xd7 => continue,
            0x00 | 0xd8 => return None,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let segment = rest.get(2..length)?;
        rest = &rest[length..];
        match marker {
            // A second frame: two pictures in one file.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && frame.is_some() => return None,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => frame = Some(frame_size(segment)?),
            0xda => {
                frame?;
                scans += 1;
                rest = behind_scan(rest)?;
            }
            _ => {}
        }
    }
}

/// Width and height of a frame header with all its components.
fn frame_size(segment: &[u8]) -> Option<(u16, u16)> {
    let [precision, h1, h2, w1, w2, components, rest @ ..] = segment else { return None };
    let size = (u16::from_be_bytes([*w1, *w2]), u16::from_be_bytes([*h1, *h2]));
    let sound =
        matches!(precision, 8 | 12) && matches!(components, 1..=4) && rest.len() == 3 * usize::from(*components);
    (sound && size.0 > 0 && size.1 > 0).then_some(size)
}

/// From the next marker that is neither a stuffed byte nor a restart.
fn behind_scan(data: &[u8]) -> Option<&[u8]> {
    let mut pairs = data.windows(2);
    let at = pairs.position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff | 0xd0..=0xd7))?;
    (at > 0).then(|| &data[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe0, 0, 4, b'J', b'F', 0xff, 0xc0, 0, 11, 8, 0, 2, 0, 3, 1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1,
        1, 0, 0, 63, 0, 0x12, 0xff, 0x00, 0xff, 0xd0, 0x34, 0xff, 0xd9,
    ];

    #[test]
    fn the_size_of_an_image_is_read_from_its_frame() {
        assert_eq!(size(SMALL), Ok((3, 2)));
    }

    #[test]
    fn no_beginning_of_an_image_and_nothing_longer_is_an_image() {
        for end in 0..SMALL.len() {
            assert!(size(&SMALL[..end]).is_err(), "{end}");
        }
        assert!(size(&[SMALL, b"PK\x03\x04"].concat()).is_err());
        for other in [&b"\x89PNG\r\n\x1a\n"[..], b"GIF89a", b"%PDF-1.7", b"PK\x03\x04", b"", &[0; 64]] {
            assert!(size(other).is_err());
        }
    }

    #[test]
    fn an_image_that_is_too_large_is_told_how_large_it_may_be() {
        let mut wide = SMALL.to_vec();
        wide[15] = 0xff;
        assert!(size(&wide).unwrap_err().contains("65283×2"));
        assert!(size(&vec![0xff; MAX_BYTES + 1]).unwrap_err().contains("1024 KiB"));
        let mut flat = SMALL.to_vec();
        flat[14] = 0;
        assert!(size(&flat).is_err());
    }
}
