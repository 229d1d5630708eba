package parquet

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// bloomBits is the size of a Bloom filter for each distinct value. Ten and a
// half bits let one of a hundred values through that are not there.
const bloomBits = 11

// setBloom marks the columns that get a Bloom filter: those of texts among the
// names given. Names that the table does not have are those of other tables.
func (p *plan) setBloom(names []pipeline.Text) error {
	for _, name := range names {
		for i := range p.columns {
			c := &p.columns[i]
			if p.input.Field(c.input).Name != name.Value {
				continue
			}
			if !isText(p.input.Field(c.input).Type) {
				return name.Issuef(0, "column %s is %s: Bloom filters are for strings", name.Value, p.input.Field(c.input).Type)
			}
			c.bloom = true
		}
	}
	return nil
}

// bloomFilter returns a split-block Bloom filter of texts, behind its header. It
// is as large as the number of distinct values asks for.
func bloomFilter(arrs []arrow.Array) ([]byte, error) {
	var hashes []uint64
	for _, arr := range arrs {
		for i := range arr.Len() {
			if arr.IsValid(i) {
				hashes = append(hashes, xxhash.Sum64(textAt(arr, i)))
			}
		}
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	filter := make(bloom.SplitBlockFilter, max(1, bloom.NumSplitBlocksOf(int64(len(hashes)), bloomBits)))
	filter.InsertBulk(hashes)
	header := format.BloomFilterHeader{
		NumBytes:    int32(len(filter.Bytes())),
		Algorithm:   format.BloomFilterAlgorithm{Value: &format.SplitBlockAlgorithm{}},
		Hash:        format.BloomFilterHash{Value: &format.XxHash{}},
		Compression: format.BloomFilterCompression{Value: &format.BloomFilterUncompressed{}},
	}
	var out bytes.Buffer
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&out)).Encode(&header); err != nil {
		return nil, fmt.Errorf("writing a Bloom filter: %w", err)
	}
	out.Write(filter.Bytes())
	return out.Bytes(), nil
}

// writeBlooms writes the filters of a row group behind its pages.
func (f *file) writeBlooms(g *rowGroup, columns []format.ColumnChunk) error {
	for i := range g.chunks {
		b := g.chunks[i].bloom
		if b == nil {
			continue
		}
		columns[i].MetaData.BloomFilterOffset = f.out.offset
		columns[i].MetaData.BloomFilterLength = int32(len(b))
		if err := f.out.write(b); err != nil {
			return err
		}
		g.chunks[i].bloom = nil
	}
	return nil
}
