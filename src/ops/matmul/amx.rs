//! Products of bf16 on AMX tiles (Intel SDM, volume 1, chapter 18).
//!
//! Rust has no stable intrinsics for them; the assembler has the instructions.

use std::cell::Cell;
use std::marker::PhantomData;

use super::tiles::{BLOCK, Block, Tile};

/// Eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct TileConfig([u8; 64]);

static CONFIG: TileConfig = {
    let mut bytes = [0u8; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    TileConfig(bytes)
};

thread_local! {
    /// Are this thread's tiles configured? The first to let go would take them from a second.
    static CONFIGURED: Cell<bool> = const { Cell::new(false) };
}

/// The tiles of this thread, configured while it lives: one at a time, and for no other thread.
pub struct AmxTiles(PhantomData<*mut ()>);

impl AmxTiles {
    /// Configures the tiles.
    ///
    /// # Panics
    /// Where they are not permitted, or this thread has them already.
    pub fn configure() -> Self {
        assert!(super::Isa::best() == super::Isa::Amx, "tiles need a processor that has them");
        assert!(!CONFIGURED.replace(true), "a thread has its tiles once");
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "an AMX instruction")]
        // SAFETY: the instruction is here, as just looked at, and the configuration is a valid one.
        unsafe {
            std::arch::asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG.0, options(nostack, readonly));
        }
        Self(PhantomData)
    }

    /// out += (or =) a bᵀ for two row blocks of `a` and two of `b`, each a run of tiles along the inner axis.
    pub fn multiply(&self, a: [&[Tile]; 2], b: [&[Tile]; 2], out: &mut Block, add: bool) {
        let count = a[0].len();
        assert!(count > 0 && a[1].len() == count && b[0].len() == count && b[1].len() == count);
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "AMX instructions")]
        // SAFETY: `self` shows that tiles are configured; each pointer runs over `count` tiles of 1 KiB, and
        // `out` has 32 rows of 128 bytes, which is what the two halves stored at each offset cover.
        unsafe {
            std::arch::asm!(
                "test {add}, {add}",
                "jz 2f",
                "tileloadd tmm0, [{out} + {row}]",
                "tileloadd tmm1, [{out} + {row} + 64]",
                "tileloadd tmm2, [{low} + {row}]",
                "tileloadd tmm3, [{low} + {row} + 64]",
                "jmp 3f",
                "2:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "3:",
                "tileloadd tmm4, [{a0} + {line}]",
                "tileloadd tmm6, [{b0} + {line}]",
                "tileloadd tmm7, [{b1} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a1} + {line}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 1024",
                "add {a1}, 1024",
                "add {b0}, 1024",
                "add {b1}, 1024",
                "dec {count}",
                "jnz 3b",
                "tilestored [{out} + {row}], tmm0",
                "tilestored [{out} + {row} + 64], tmm1",
                "tilestored [{low} + {row}], tmm2",
                "tilestored [{low} + {row} + 64], tmm3",
                add = in(reg) u64::from(add),
                out = in(reg) out.0.as_mut_ptr(),
                low = in(reg) out.0.as_mut_ptr().add(BLOCK * BLOCK / 2),
                row = in(reg) BLOCK * size_of::<f32>(),
                line = in(reg) 64usize,
                a0 = inout(reg) a[0].as_ptr() => _,
                a1 = inout(reg) a[1].as_ptr() => _,
                b0 = inout(reg) b[0].as_ptr() => _,
                b1 = inout(reg) b[1].as_ptr() => _,
                count = inout(reg) count => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _: (_, _) = (out, add);
    }
}

impl Drop for AmxTiles {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "an AMX instruction")]
        // SAFETY: the tiles were configured when this was made.
        unsafe {
            std::arch::asm!("tilerelease", options(nostack, nomem));
        }
        CONFIGURED.set(false);
    }
}
