//! Which instructions the operations use: found at run time, a parameter everywhere, so that tests reach those of
//! lesser machines.

use std::sync::OnceLock;

use pulp::{Simd, WithSimd};

/// Instruction sets, each with all of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What every processor of the target has: SSE2 on x86-64, NEON on `AArch64`.
    Baseline,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, CD, DQ, VL.
    Avx512,
    /// And its dot product of bf16 pairs.
    Avx512Bf16,
    /// And tiles of bf16 (AMX).
    Amx,
}

impl Isa {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Baseline, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// The best this machine has.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::ALL.into_iter().rev().find(|isa| isa.is_here()).unwrap_or(Self::Baseline))
    }

    /// Those this machine has.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| *isa <= Self::best())
    }

    /// Does it multiply bf16 without widening it first?
    pub fn multiplies_bf16(self) -> bool {
        self >= Self::Avx512Bf16
    }

    /// As the user reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
            Self::Avx512Bf16 => "AVX-512 BF16",
            Self::Amx => "AMX",
        }
    }

    /// Runs an operation written for vectors of any width.
    #[inline]
    pub fn dispatch<Op: WithSimd>(self, op: Op) -> Op::Output {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Baseline => {}
            Self::Avx2 => {
                if let Some(simd) = pulp::x86::V3::try_new() {
                    return Simd::vectorize(simd, op);
                }
            }
            Self::Avx512 | Self::Avx512Bf16 | Self::Amx => {
                if let Some(simd) = pulp::x86::V4::try_new() {
                    return Simd::vectorize(simd, op);
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(simd) = pulp::aarch64::Neon::try_new() {
            return Simd::vectorize(simd, op);
        }
        Simd::vectorize(pulp::Scalar, op)
    }

    /// Runs `f`, compiled for these instructions where it is inlined here: mark it `#[inline(always)]`.
    #[inline]
    pub fn run<R>(self, f: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Baseline => {}
            Self::Avx2 => {
                if let Some(simd) = pulp::x86::V3::try_new() {
                    return simd.vectorize(f);
                }
            }
            Self::Avx512 | Self::Avx512Bf16 | Self::Amx => {
                if let Some(simd) = pulp::x86::V4::try_new() {
                    return simd.vectorize(f);
                }
            }
        }
        f()
    }

    #[cfg(target_arch = "x86_64")]
    fn is_here(self) -> bool {
        match self {
            Self::Baseline => true,
            Self::Avx2 => pulp::x86::V3::is_available(),
            Self::Avx512 => Self::Avx2.is_here() && pulp::x86::V4::is_available(),
            Self::Avx512Bf16 => Self::Avx512.is_here() && is_x86_feature_detected!("avx512bf16"),
            Self::Amx => Self::Avx512Bf16.is_here() && may_use_tiles(),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_here(self) -> bool {
        self == Self::Baseline
    }
}

/// May this process use AMX tiles? The kernel keeps room for them only when asked.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn may_use_tiles() -> bool {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    if std::arch::x86_64::__cpuid(0).eax < 7 {
        return false;
    }
    if std::arch::x86_64::__cpuid_count(7, 0).edx & BF16_AND_TILES != BF16_AND_TILES {
        return false;
    }
    #[expect(unsafe_code, reason = "a system call that reads no memory of ours")]
    // SAFETY: arch_prctl with this code only changes what the kernel lets the process do.
    let answer = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
    answer == 0
}

/// Other systems give no permission.
#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn may_use_tiles() -> bool {
    false
}
