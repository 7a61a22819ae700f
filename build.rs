//! Looks whether the shaders are well-formed, and compiles the CUDA kernels for builds that use them.

use std::path::Path;
use std::process::Command;

const KERNELS: [&str; 5] = ["attention", "cross_entropy", "rms_norm", "rotary", "swiglu"];

/// What is wrong with a shader, where anything is.
fn problem_of(path: &Path) -> Option<String> {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let source = match std::fs::read_to_string(path) {
        Ok(source) => source,
        Err(problem) => return Some(problem.to_string()),
    };
    let module = match naga::front::wgsl::parse_str(&source) {
        Ok(module) => module,
        Err(problem) => return Some(problem.emit_to_string(&source)),
    };
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::default());
    validator.validate(&module).err().map(|problem| problem.emit_to_string(&source))
}

fn main() {
    println!("cargo::rerun-if-changed=shaders");
    for entry in std::fs::read_dir("shaders").into_iter().flatten().flatten() {
        if let Some(problem) = problem_of(&entry.path()) {
            println!("cargo::error={}: {}", entry.path().display(), problem.replace('\n', " "));
        }
    }
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-env-changed=NVCC");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let installed = || std::env::var("CUDA_HOME").map(|home| format!("{home}/bin/nvcc"));
    let nvcc = std::env::var("NVCC").or_else(|_| installed()).unwrap_or_else(|_| "nvcc".to_owned());
    for kernel in KERNELS {
        // For every GPU from this architecture on: the driver compiles the rest when the program starts.
        let status = Command::new(&nvcc)
            .args(["-std=c++17", "-ptx", "-arch=compute_80", "-o"])
            .arg(Path::new(&out).join(format!("{kernel}.ptx")))
            .arg(format!("kernels/{kernel}.cu"))
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => println!("cargo::error={nvcc} could not compile kernels/{kernel}.cu: {status}"),
            Err(problem) => {
                println!(
                    "cargo::error=the cuda feature needs NVIDIA's compiler, and {nvcc} would not run: {problem}"
                );
            }
        }
    }
}
