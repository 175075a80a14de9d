//! Pixels of a PNG as browsers write them: eight bits, with or without transparency, not interlaced.
//!
//! What is to be seen on them is said in `browser`.

use std::collections::HashMap;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

/// A picture.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Red, green and blue, row by row.
    pixels: Vec<[u8; 3]>,
}

/// What one sees of a picture at a glance.
#[derive(Debug)]
pub(crate) struct Glance {
    /// Brightness on average and of the most frequent colour, 0 to 255.
    pub(crate) brightness: f64,
    pub(crate) ground: f64,
    /// Share of the pixels that have another colour than that.
    pub(crate) drawn: f64,
    /// Different colours.
    pub(crate) colours: usize,
}

impl Picture {
    /// Reads it.
    pub(crate) fn read(png: &[u8]) -> Self {
        assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
        let (mut rest, mut head, mut packed) = (&png[8..], None, Vec::new());
        while rest.len() >= 12 {
            let length = number(&rest[..4]);
            let body = &rest[8..8 + length];
            match &rest[4..8] {
                b"IHDR" => head = Some(body),
                b"IDAT" => packed.extend_from_slice(body),
                _ => {}
            }
            rest = &rest[12 + length..];
        }
        let head = head.expect("a head");
        let (width, height) = (number(&head[..4]), number(&head[4..8]));
        let samples = match (head[8], head[9], head[12]) {
            (8, 2, 0) => 3,
            (8, 6, 0) => 4,
            other => panic!("a PNG of another kind: {other:?}"),
        };
        let mut rows = Vec::new();
        ZlibDecoder::new(&packed[..]).read_to_end(&mut rows).unwrap();
        assert_eq!(rows.len(), height * (1 + width * samples));
        let mut above = vec![0; width * samples];
        let mut pixels = Vec::with_capacity(width * height);
        for row in rows.chunks_mut(1 + width * samples) {
            let (filter, row) = row.split_first_mut().unwrap();
            undo(*filter, row, &above, samples);
            pixels.extend(row.chunks(samples).map(|p| [p[0], p[1], p[2]]));
            above.copy_from_slice(row);
        }
        Self { width, height, pixels }
    }

    /// Some of its rows.
    pub(crate) fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let pixels = &self.pixels[rows.start * self.width..rows.end * self.width];
        Self { width: self.width, height: rows.len(), pixels: pixels.to_vec() }
    }

    /// What one sees of it.
    pub(crate) fn glance(&self) -> Glance {
        let mut counts = HashMap::<[u8; 3], usize>::new();
        for pixel in &self.pixels {
            *counts.entry(*pixel).or_default() += 1;
        }
        let (ground, count) = counts.iter().max_by_key(|(_, count)| **count).unwrap();
        let all = self.pixels.len() as f64;
        Glance {
            brightness: self.pixels.iter().copied().map(bright).sum::<f64>() / all,
            ground: bright(*ground),
            drawn: 1.0 - *count as f64 / all,
            colours: counts.len(),
        }
    }
}

fn number(four: &[u8]) -> usize {
    u32::from_be_bytes(four.try_into().unwrap()) as usize
}

/// ITU-R BT.709.
fn bright(pixel: [u8; 3]) -> f64 {
    let [red, green, blue] = pixel.map(f64::from);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// PNG, section 9.2.
fn undo(filter: u8, row: &mut [u8], above: &[u8], samples: usize) {
    for at in 0..row.len() {
        let left = if at >= samples { row[at - samples] } else { 0 };
        let corner = if at >= samples { above[at - samples] } else { 0 };
        let guess = match filter {
            0 => 0,
            1 => left,
            2 => above[at],
            3 => u8::midpoint(left, above[at]),
            _ => nearest(left, above[at], corner),
        };
        row[at] = row[at].wrapping_add(guess);
    }
}

fn nearest(left: u8, above: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(above) - i16::from(corner);
    let apart = |of: u8| (guess - i16::from(of)).abs();
    if apart(left) <= apart(above) && apart(left) <= apart(corner) {
        left
    } else if apart(above) <= apart(corner) {
        above
    } else {
        corner
    }
}
