//! Networks of fifty nodes that hear of checkpoints over bad links, fall apart and come together again; in virtual time. More
//! seeds: `cargo run --release -p cordee-integration --bin simulate -- --checkpoints --seeds 0..100`.

use cordee_integration::sim::checkpoints::{Outcome, Scenario, run};

const SEEDS: u64 = 2;

fn passed(case: &str, scenario: &Scenario) -> Outcome {
    let (outcome, seed) = (run(scenario), scenario.seed);
    assert!(
        outcome.passed() && outcome.height > 15,
        "{case}, seed {seed}: {outcome:?}"
    );
    outcome
}

#[test]
fn all_are_at_the_newest_checkpoint_soon_after_the_parts_are_one_again() {
    for seed in 0..SEEDS {
        let outcome = passed("signers together", &Scenario::bad_links(seed));
        let [with_signers, without] = outcome.parts;
        assert!(with_signers > outcome.parted_at + 5, "seed {seed}: {outcome:?}");
        assert!(without <= outcome.parted_at, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn nobody_goes_on_while_too_few_signers_reach_each_other() {
    for seed in 0..SEEDS {
        let outcome = passed("signers apart", &Scenario::signers_apart(seed));
        let most = outcome.parts.into_iter().max();
        assert!(most <= Some(outcome.parted_at), "seed {seed}: {outcome:?}");
    }
}

#[test]
fn forgers_are_blamed_and_hold_up_nobody() {
    for seed in 0..SEEDS {
        let outcome = passed("with liars", &Scenario::with_liars(seed));
        assert!(outcome.blamed_liars.len() > 5, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_seed_makes_the_same_run_again_and_a_network_that_hears_nothing_does_not_settle() {
    let small = Scenario {
        nodes: 10,
        ..Scenario::bad_links(1)
    };
    assert_eq!(run(&small), run(&small));
    let deaf = Scenario { loss: 1.0, ..small };
    assert_eq!(run(&deaf).settled, None);
}
