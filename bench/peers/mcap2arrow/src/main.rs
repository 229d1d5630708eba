//! Writes the topics of an MCAP file as Parquet, one file for each, with the
//! crates mcap2arrow and parquet.
//!
//! usage: peer INPUT DIRECTORY PARALLEL TOPIC...

use std::{env, error::Error, fs::File, path::Path};

use mcap2arrow::McapReader;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().collect();
    let (input, out) = (Path::new(&args[1]), Path::new(&args[2]));
    let reader = McapReader::builder()
        .with_default_decoders()
        .with_batch_size(32 << 10)
        .with_parallel(args[3] == "true")
        .build();
    for topic in &args[4..] {
        let name = topic.trim_start_matches('/').replace('/', "_");
        let mut writer: Option<ArrowWriter<File>> = None;
        let mut rows = 0;
        reader.for_each_record_batch(input, topic, |batch| {
            if writer.is_none() {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("a level of zstd")))
                    .build();
                let file = File::create(out.join(format!("{name}.parquet"))).expect("the output directory exists");
                writer = Some(ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a schema Parquet can hold"));
            }
            rows += batch.num_rows();
            writer.as_mut().expect("just made").write(&batch).expect("a batch that can be written");
            Ok(())
        })?;
        if let Some(w) = writer {
            w.close()?;
        }
        println!("{topic} {rows}");
    }
    Ok(())
}
