use super::*;

const RING: Spread = Spread::Ring { least: 1024, most: 8 << 20, function: HashFunction::XxHash };
const MAGLEV: Spread = Spread::Maglev { size: 65_537 };

fn entries(count: usize) -> Vec<Entry> {
    (0..count).map(|n| Entry { key: format!("10.0.0.{n}:80").into(), share: 1.0 / count as f64 }).collect()
}

fn owners(spread: Spread, entries: &[Entry]) -> Vec<Arc<str>> {
    let table = Table::new(spread, entries);
    let keys = (0..2000u64).map(|n| xx64(&n.to_le_bytes()));
    keys.map(|hash| Arc::clone(&entries[table.find(hash, 0).unwrap()].key)).collect()
}

#[test]
fn nobody_is_found_among_nobody() {
    for spread in [RING, MAGLEV] {
        assert_eq!(Table::new(spread, &[]).find(7, 0), None);
    }
}

#[test]
fn few_keys_move_when_an_endpoint_leaves() {
    for spread in [RING, MAGLEV] {
        let (before, after) = (owners(spread, &entries(10)), owners(spread, &entries(9)));
        let moved = before.iter().zip(&after).filter(|(was, is)| was != is).count();
        let lost = before.iter().filter(|key| &***key == "10.0.0.9:80").count();
        assert!(moved >= lost && moved < 500, "{moved} moved, {lost} had to");
    }
}

#[test]
fn shares_follow_the_weights() {
    for spread in [RING, MAGLEV] {
        let mut two = entries(2);
        (two[0].share, two[1].share) = (0.75, 0.25);
        let owners = owners(spread, &two);
        let first = owners.iter().filter(|key| **key == two[0].key).count();
        assert!((1350..1650).contains(&first), "{first} of 2000");
    }
}

#[test]
fn another_attempt_finds_another_endpoint() {
    for spread in [RING, MAGLEV] {
        let table = Table::new(spread, &entries(5));
        let found: std::collections::HashSet<_> = (0..40).map(|attempt| table.find(1, attempt)).collect();
        assert!(found.len() > 1, "{found:?}");
    }
}
