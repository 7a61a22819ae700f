//! Compiles the CUDA kernels for builds that use them.

use std::path::Path;
use std::process::Command;

const KERNELS: [&str; 5] = ["attention", "cross_entropy", "rms_norm", "rotary", "swiglu"];

fn main() {
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
