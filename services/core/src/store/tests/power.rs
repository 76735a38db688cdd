//! The power goes at every write of a scenario: the old state is there, or the new one.

use baetyl_shadow::{Fence, Properties};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::faulty::{Fault, FaultBackend, image_after};
use super::*;

/// Everything that a store tells about itself.
#[derive(Debug, PartialEq)]
struct View {
    held: Option<Held>,
    bodies: BTreeMap<String, Option<Bytes>>,
    records: Vec<Record>,
    properties: Properties,
    converged: Option<Fence>,
}

impl View {
    fn of(store: &Store) -> Self {
        let names = store.tables.keys(Table::Bodies).unwrap();
        let body = |name: &String| store.body(&name.parse().unwrap()).unwrap();
        Self {
            held: store.held().unwrap(),
            bodies: names
                .iter()
                .map(|name| (name.clone(), body(name)))
                .collect(),
            records: store.records().unwrap(),
            properties: store.properties().unwrap(),
            converged: store.converged().unwrap(),
        }
    }

    /// What an accepted generation promises, whatever else is so.
    fn check(&self, store: &Store) {
        if let Some(held) = &self.held {
            assert_eq!(store.missing(&held.document).unwrap(), []);
        }
        assert!(self.bodies.values().all(Option::is_some));
    }
}

fn open(backend: FaultBackend, place: &Place) -> Store {
    let tables = Durable::with_backend(backend).expect("opens after every fault");
    Store::open(Box::new(tables), &place.key_file()).unwrap()
}

type Step = Box<dyn Fn(&Store)>;

fn accept(wish: Wish) -> Step {
    Box::new(move |store| {
        store.accept(&wish.offer).unwrap();
    })
}

/// Three generations, records of the engine between, and the bodies of the first one collected.
fn scenario() -> Vec<Step> {
    let [first, second, third] = [
        Wish::new(1, &["one", "two"]),
        Wish::new(2, &["two", "three"]),
        Wish::new(3, &["three"]),
    ];
    let first_digests = first.digests();
    let saved = record("one", &first_digests);
    let fence = first.offer.stamp.fence;
    vec![
        accept(first),
        Box::new(move |store| store.save_record(&saved).unwrap()),
        Box::new(move |store| store.save_converged(fence).unwrap()),
        accept(second),
        accept(third),
        Box::new(|store| store.remove_record("one").unwrap()),
        Box::new(|store| {
            let removed = store.collect_garbage().unwrap();
            assert!(removed > 0, "the scenario collects something");
        }),
    ]
}

#[test]
fn when_the_power_goes_at_any_write_then_the_old_or_the_new_state_is_there() {
    let seed = 0x0ba5_e001;
    let mut rng = StdRng::seed_from_u64(seed);
    let place = Place::new();
    let made = FaultBackend::default();
    open(made.clone(), &place).claim(UID).unwrap();
    let base = made.image();

    let disk = FaultBackend::new(base.clone());
    let store = open(disk.clone(), &place);
    let mut states = vec![(disk.operations(), View::of(&store))];
    for step in scenario() {
        step(&store);
        states.push((disk.operations(), View::of(&store)));
    }
    let log = disk.log();
    assert!(log.len() > 50, "the scenario writes");

    for count in 0..=log.len() {
        // The steps that had returned when the power went, and the one that was under way.
        let last = states.iter().rposition(|(end, _)| *end <= count);
        let last = last.unwrap_or(0);
        let allowed = &states[last..states.len().min(last + 2)];
        for fault in Fault::ALL {
            let image = image_after(&base, &log, count, fault, &mut rng);

            let reopened = open(FaultBackend::new(image), &place);

            let found = View::of(&reopened);
            found.check(&reopened);
            assert!(
                allowed.iter().any(|(_, state)| *state == found),
                "seed {seed}, {fault:?} after {count} operations, step {last}: {found:?}"
            );
        }
    }
}

#[test]
fn when_nothing_changes_then_nothing_is_written() {
    let place = Place::new();
    let disk = FaultBackend::default();
    let store = open(disk.clone(), &place);
    store.claim(UID).unwrap();
    for step in scenario() {
        step(&store);
    }
    let before = disk.operations();

    store.accept(&Wish::new(3, &["three"]).offer).unwrap();
    store.accept(&Wish::new(1, &["one"]).offer).unwrap();
    store.claim(UID).unwrap();
    store.collect_garbage().unwrap();
    store
        .save_converged(store.converged().unwrap().unwrap())
        .unwrap();
    let unchanged = store.change_properties(|_| Ok::<_, ()>(())).unwrap();

    assert!(unchanged.is_ok());
    assert_eq!(disk.operations(), before);
}
