//! Where the program `helm` is.

use std::path::{Path, PathBuf};

use baetyl_engine::kube::settings::KubeSettings;

/// The `helm` of `./just setup`, or the one in `PATH`; otherwise why there is none.
pub(crate) fn program() -> Result<PathBuf, String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = std::env::var_os("BAETYL_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| repository.join(".tools/venv/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = [tools].into_iter().chain(std::env::split_paths(&path));
    let found = folders.find_map(|folder| {
        let program = folder.join("helm");
        program.is_file().then_some(program)
    });
    found.ok_or_else(|| "the program helm is not installed; ./just setup brings it".to_owned())
}

/// Lets an engine use it, where it is.
pub(super) fn set(settings: &mut KubeSettings) {
    if let Ok(program) = program() {
        settings.helm_program = program.display().to_string();
    }
}
