//! Bounds of specifications, and what may be printed of them.

use super::{LogCaps, Program, Signal, Spec};

fn spec() -> Spec {
    Spec::new(Program::new("/bin/true", "/"))
}

#[test]
fn when_a_field_is_out_of_bounds_then_it_is_named() {
    type Change = fn(&mut Spec);
    let cases: [(&str, Change); 8] = [
        ("program", |spec| spec.program.path = "".into()),
        ("working folder", |spec| {
            spec.program.working_folder = "here".into()
        }),
        ("nice", |spec| spec.program.nice = Some(20)),
        ("umask", |spec| spec.program.umask = Some(0o1000)),
        ("args", |spec| spec.program.args.push("a\0b".into())),
        ("env", |spec| {
            drop(
                spec.program
                    .env
                    .insert("BAETYL_INSTANCE".into(), "x".into()),
            )
        }),
        ("log size", |spec| {
            spec.log = LogCaps {
                max_bytes: 1,
                files: 2,
            }
        }),
        ("log files", |spec| {
            spec.log = LogCaps {
                max_bytes: 1 << 20,
                files: 1,
            }
        }),
    ];
    for (field, change) in cases {
        let mut spec = spec();
        change(&mut spec);

        let message = spec.validate().unwrap_err().to_string();

        assert!(message.starts_with(field), "{field}: {message}");
    }
    assert!(spec().validate().is_ok());
}

#[test]
fn when_a_specification_is_printed_then_values_of_the_environment_are_not() {
    let mut spec = spec();
    spec.program.env.insert("TOKEN".into(), "canary".into());
    spec.program.args.push("canary".into());

    let text = format!("{spec:?}");

    assert!(text.contains("TOKEN") && !text.contains("canary"), "{text}");
}

#[test]
fn when_a_signal_is_named_with_or_without_prefix_then_it_is_read() {
    assert_eq!(Signal::parse("SIGTERM"), Some(Signal::Term));
    assert_eq!(Signal::parse("HUP"), Some(Signal::Hup));
    assert_eq!(Signal::parse("SIGSEGV"), None);
}
