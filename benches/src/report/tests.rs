//! Tests of tables and documents.

use super::*;

#[test]
fn when_a_table_is_rendered_then_columns_line_up_and_short_rows_are_filled() {
    let mut table = Table::new("Calls.", ["path", "calls/s", "p99"]);
    table.row(["direct".to_owned(), "120000".to_owned(), "90 µs".to_owned()]);
    table.row(["proxy, Unix".to_owned(), "90000".to_owned()]);

    let text = table.render();

    assert_eq!(
        text,
        "Calls.\n\n\
         | path        | calls/s |   p99 |\n\
         | ----------- | -------:| -----:|\n\
         | direct      |  120000 | 90 µs |\n\
         | proxy, Unix |   90000 |       |\n"
    );
}

#[test]
fn when_a_run_is_written_then_the_command_and_the_machine_are_beside_it() {
    let mut report = Report::begin("bench-example", "An example");
    report.text("What was done.");

    let text = report.render(" --rounds 5");

    assert!(text.starts_with("# An example\n\n- when: 20"), "{text}");
    assert!(
        text.contains("\n- command: `./just bench-example --rounds 5`\n- machine: "),
        "{text}"
    );
    assert!(text.ends_with("\n\nWhat was done.\n"), "{text}");
}
