//! Damage.

use super::*;

#[test]
fn decoding_damaged_bytes_never_panics_and_what_it_accepts_has_one_form() {
    let (journal, roots) = journal(70);
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..20_000u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let size = rng.random_range(1..=70);
        let start = rng.random_range(0..size);
        let (ask, answer) = match rng.random_range(0..5) {
            0 => (Ask::Status(status()), Answer::Status(status())),
            1 => {
                let request = boundary(size, start);
                (Ask::Range(request), Answer::Range(serve(&journal, &request)))
            }
            2 => (
                Ask::Range(operations(size, start, 1)),
                Answer::Busy(Duration::from_millis(rng.random())),
            ),
            _ => {
                let request = operations(size, start, rng.random_range(1..20));
                (Ask::Range(request), Answer::Range(serve(&journal, &request)))
            }
        };
        let sent = answer.to_frame().join();
        let mut answer_bytes = sent.to_vec();
        let mut ask_bytes = ask.to_vec();
        for _ in 0..rng.random_range(1..4) {
            damage(&mut answer_bytes, &mut rng);
            damage(&mut ask_bytes, &mut rng);
        }
        let answer_bytes = Bytes::from(answer_bytes);

        if let Ok(decoded) = Ask::from_slice(&ask_bytes) {
            assert_eq!(decoded.to_vec(), ask_bytes, "seed {seed}");
            if let Ask::Range(request) = decoded {
                assert!(request.start() < request.range().end, "seed {seed}");
                assert!(request.range().end <= request.size(), "seed {seed}");
                assert!(request.max_ops() <= MAX_OPERATIONS, "seed {seed}");
            }
        }
        match Answer::decode(&answer_bytes, &ask) {
            Ok(decoded) => {
                accepted += 1;
                assert_eq!(decoded.to_frame().join(), answer_bytes, "seed {seed}");
                if let (Answer::Range(response), Ask::Range(request)) = (decoded, &ask) {
                    assert_eq!(response.check(request), Ok(()), "seed {seed}");
                    // Altered bytes that read well prove nothing.
                    let honest = verify(request, &roots[size as usize], response).is_ok();
                    assert_eq!(honest, answer_bytes == sent, "seed {seed}");
                }
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        accepted > 2000 && refused > 2000,
        "{accepted} accepted, {refused} refused"
    );
}

/// Flip, drop, add or repeat a few bytes.
fn damage(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let i = rng.random_range(0..=bytes.len());
    match rng.random_range(0..8) {
        0 => bytes.truncate(i),
        1 => bytes.insert(i, rng.random()),
        2 if i < bytes.len() => drop(bytes.remove(i)),
        // Tags and counts stand in front.
        3..5 if bytes.len() > 6 => bytes[rng.random_range(0..6)] = rng.random(),
        _ if i < bytes.len() => bytes[i] ^= 1 << rng.random_range(0..8),
        _ => bytes.extend(rng.random::<[u8; 3]>()),
    }
}

#[test]
fn noise_never_panics() {
    let asks = [
        Ask::Status(status()),
        Ask::Range(operations(70, 3, 9)),
        Ask::Range(boundary(70, 69)),
        Ask::Range(operations(MAX, MAX - 1, 1)),
        Ask::Range(boundary(MAX, MAX - 1)),
    ];
    for seed in 0..20_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = vec![0; rng.random_range(0..300)];
        rng.fill(&mut bytes[..]);
        if let Some(tag) = bytes.first_mut() {
            *tag %= 7;
        }
        if let Ok(ask) = Ask::from_slice(&bytes) {
            assert_eq!(ask.to_vec(), bytes, "seed {seed}");
        }
        let bytes = Bytes::from(bytes);
        for ask in &asks {
            if let Ok(answer) = Answer::decode(&bytes, ask) {
                assert_eq!(answer.to_frame().join(), bytes, "seed {seed}");
            }
        }
    }
}
