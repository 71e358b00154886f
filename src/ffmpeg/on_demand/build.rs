//! Lists the functions that FFmpeg's libraries export, for `mod.rs` next to it, which loads them at the first call.
//!
//! Lists nothing, so that the program is linked to FFmpeg as usual, on other systems and processors than x86-64 Linux, if
//! there are no shared libraries, and if `LIPSYNC_LINK_FFMPEG` is set.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use object::elf::{DT_SONAME, STT_FUNC};
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSymbol as _};

/// Each comes after those it depends on.
const LIBRARIES: [&str; 4] = ["libavutil", "libswscale", "libavcodec", "libavformat"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src/ffmpeg/on_demand/build.rs");
    println!("cargo:rerun-if-env-changed=FFMPEG_DIR");
    println!("cargo:rerun-if-env-changed=LIPSYNC_LINK_FFMPEG");
    println!("cargo:rustc-check-cfg=cfg(ffmpeg_on_demand)");
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}"));
    if (target("OS")?.as_str(), target("ARCH")?.as_str()) != ("linux", "x86_64")
        || env::var_os("LIPSYNC_LINK_FFMPEG").is_some()
    {
        return Ok(());
    }
    let files: Option<Vec<PathBuf>> = LIBRARIES.into_iter().map(find).collect();
    let Some(files) = files else { return Ok(()) };
    let (mut list, mut jumps, mut count) = (String::from("[\n"), String::new(), 0);
    for file in files {
        println!("cargo:rerun-if-changed={}", file.display());
        let (soname, functions) = exports(&file)?;
        writeln!(list, "Library {{ soname: {soname:?}, functions: &[")?;
        for function in functions {
            writeln!(list, "c{function:?},")?;
            writeln!(jumps, "ffmpeg_jump {function}, {count}")?;
            count += 1;
        }
        list.push_str("] },\n");
    }
    list.push(']');
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("ffmpeg_libraries.rs"), list)?;
    fs::write(out.join("ffmpeg_count.rs"), count.to_string())?;
    fs::write(out.join("ffmpeg_jumps.s"), jumps)?;
    println!("cargo:rustc-cfg=ffmpeg_on_demand");
    Ok(())
}

/// The shared library that the linker would use for `name`.
fn find(name: &str) -> Option<PathBuf> {
    let folder = match env::var_os("FFMPEG_DIR") {
        Some(folder) => Path::new(&folder).join("lib"),
        None => pkg_config::get_variable(name, "libdir").ok()?.into(),
    };
    Some(folder.join(format!("{name}.so"))).filter(|file| file.is_file())
}

/// The soname of the library at `path`, and the functions that it exports.
fn exports(path: &Path) -> Result<(String, Vec<String>), Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let file = ElfFile64::<object::Endianness>::parse(&*bytes)?;
    let table = file.elf_dynamic_table()?;
    let soname = table.iter().find(|entry| entry.tag == DT_SONAME);
    let soname = soname.ok_or_else(|| format!("`{}` has no soname", path.display()))?;
    let soname = String::from_utf8(table.string(soname)?.to_vec())?;
    let functions = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .filter(|symbol| symbol.elf_symbol().st_type() == STT_FUNC)
        .filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    Ok((soname, functions.collect()))
}
