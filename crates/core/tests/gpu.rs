//! What the GPU device promises: a steady state that allocates nothing, shared textures, float atomics of both kinds.
#![cfg(feature = "gpu")]

use lumigrad_core::{Device, Map, Tape, Tensor, Var, wgpu};
use lumigrad_testkit::{integers, real};

/// A host renderer's device with chosen features; `None` (with a note) where there is no adapter.
fn host(what: &str, features: wgpu::Features) -> Option<(wgpu::Device, wgpu::Queue, Device)> {
    lumigrad_testkit::host(what, features, |_| ())
}

#[test]
fn floats_are_added_alike_by_both_kinds_of_atomics() {
    let values: Var = real(&[3000], 1).cast(lumigrad_core::DType::F32).unwrap().into();
    let rows = integers(&[3000], 2, 7);
    let expected = values.scatter_add(&rows, 7).unwrap().tensor().to_vec::<f32>().unwrap();
    for features in [wgpu::Features::empty(), wgpu::Features::SHADER_FLOAT32_ATOMIC] {
        let Some((_, _, device)) = host("float atomics", features) else { continue };
        let moved = Var::from(values.tensor().to_device(&device).unwrap());
        let sums = moved.scatter_add(&rows.to_device(&device).unwrap(), 7).unwrap();
        for (x, y) in sums.tensor().to_vec::<f32>().unwrap().iter().zip(&expected) {
            assert!((x - y).abs() < 1e-4, "{x} against {y} with {features:?}");
        }
    }
}

#[test]
fn arrays_that_are_not_bound_at_once_are_computed_in_pages() {
    let map = Map::new("pages", |m| {
        let (row, [x]) = (m.item::<3>("rows"), m.item("x"));
        let (scale, table) = (m.uniform::<1>("scale"), m.table::<1>("table"));
        let [from_table] = table.fetch(m.index().modulo(7));
        m.output("rows", &[row[0] * scale[0] + x, row[1] * from_table, m.index().to_real()]);
        m.output_int("number", &[m.index()]);
        m.sum("sum", &[row[2] * x, m.index().to_real()]);
        m.scatter("by seven", table, &[(m.index().modulo(7), [row[0]])]);
    });
    let given = [real(&[1000, 3], 1), real(&[1000, 1], 2), real(&[1, 1], 3), real(&[7, 1], 4)];
    let given = given.map(|t| t.cast(lumigrad_core::DType::F32).unwrap());
    let run = |device: &Device| {
        let tape = Tape::new();
        let vars = given.clone().map(|t| tape.variable(t.to_device(device).unwrap()));
        let outputs = map.apply(&vars.each_ref()).unwrap();
        let loss = outputs[0].square().unwrap().sum().unwrap().add(&outputs[2].slice(1, 0, 1).unwrap().sum().unwrap());
        let mut gradients = tape.backward(&loss.unwrap()).unwrap();
        let values = outputs.iter().map(|o| o.tensor().to_f64_vec().unwrap());
        let gradients = vars.iter().map(|v| gradients.take(v).unwrap().to_f64_vec().unwrap());
        values.chain(gradients).collect::<Vec<_>>()
    };
    let Some(usual) = lumigrad_testkit::gpu("pages") else { return };
    // 341 rows of three numbers: launches of 320 items.
    let Some(narrow) = lumigrad_testkit::narrow("pages", 4 << 10) else { return };
    let found = run(&narrow);
    // All but what is scattered, whose order is free.
    let usual = run(&usual);
    assert!([0, 1, 2, 4, 5, 6].iter().all(|&k| found[k] == usual[k]), "pages change bits");
    for (found, expected) in found.iter().zip(run(&Device::cpu())) {
        for (x, y) in found.iter().zip(&expected) {
            assert!((x - y).abs() < 1e-4 * y.abs().max(1.0), "{x} {y}");
        }
    }
    // What is needed at once, and is not there at once.
    let table = real(&[2000, 1], 5).cast(lumigrad_core::DType::F32).unwrap().to_device(&narrow).unwrap();
    let inputs = [&given[0], &given[1], &given[2]].map(|t| t.to_device(&narrow).unwrap());
    let inputs = [&inputs[0], &inputs[1], &inputs[2], &table];
    let error = map.run(&inputs, &Default::default()).unwrap_err().to_string();
    assert!(error.contains("8000 bytes at once") && error.contains("4096"), "{error}");
}

#[test]
fn scatters_validate_with_and_without_float_atomics() {
    let map = Map::new("scatter for validation", |m| {
        let [x] = m.item("x");
        let [row] = m.item_int("row");
        let like = m.table::<1>("like");
        m.scatter("a", like, &[(row, [x])]);
        m.scatter("b", like, &[(row, [x * x])]);
    });
    for (texts, native) in [(map.shaders(), false), (map.native_shaders(), true)] {
        for text in texts {
            lumigrad_testkit::validate_wgsl_with(&text, native).unwrap_or_else(|e| panic!("{e}\n{text}"));
        }
    }
    assert!(map.shaders()[0].contains("atomicCompareExchangeWeak"));
    assert!(map.native_shaders()[0].contains("atomicAdd") && !map.native_shaders()[0].contains("CompareExchange"));
}

#[test]
fn a_steady_state_makes_no_buffers_and_submits_once_per_step() {
    let Some((_, _, device)) = host("steady state", wgpu::Features::empty()) else { return };
    let gpu = device.gpu().unwrap().clone();
    let x = real(&[50, 20], 1).cast(lumigrad_core::DType::F32).unwrap().to_device(&device).unwrap();
    let weights = real(&[20, 3], 2).cast(lumigrad_core::DType::F32).unwrap().to_device(&device).unwrap();
    let mut weights = weights;
    let mut step = || {
        let tape = Tape::new();
        let w = tape.variable(weights.clone());
        let y = Var::from(x.clone()).matmul(&w).unwrap().tanh().unwrap();
        let loss = y.prefix_sum(0, Default::default()).unwrap().square().unwrap().mean().unwrap();
        let gradient = tape.backward(&loss).unwrap().take(&w).unwrap();
        let moved = w.sub(&Var::from(gradient).scale(1e-3).unwrap()).unwrap();
        weights = moved.tensor().clone();
        device.submit();
    };
    // Uploads and first uses of pipelines and buffers.
    (0..3).for_each(|_| step());
    let before = gpu.counts();
    (0..10).for_each(|_| step());
    let after = gpu.counts();
    assert_eq!(after.buffers, before.buffers, "buffers made in a steady state");
    assert_eq!(after.pipelines, before.pipelines, "pipelines compiled in a steady state");
    assert_eq!(after.submissions, before.submissions + 10, "submissions of ten steps");
    assert!(weights.to_vec::<f32>().unwrap().iter().all(|w| w.is_finite()));
}

#[test]
fn small_uploads_do_not_overtake_recorded_work() {
    let Some((_, _, device)) = host("uploads", wgpu::Features::empty()) else { return };
    let mut sums = vec![];
    for k in 0..40 {
        // The buffer of the last round is recycled while its launch is only recorded.
        let x: Var = Tensor::from_slice(&device, &[k as f32; 10], &[10]).unwrap().into();
        sums.push(x.scale(2.0).unwrap());
    }
    for (k, sum) in sums.iter().enumerate() {
        assert_eq!(sum.tensor().to_vec::<f32>().unwrap(), [2.0 * k as f32; 10]);
    }
}

fn texture(device: &wgpu::Device, format: wgpu::TextureFormat, [h, w]: [u32; 2]) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: w, height: h, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

/// The host draws: bytes of tightly packed rows.
fn draw(queue: &wgpu::Queue, texture: &wgpu::Texture, bytes: &[u8]) {
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(bytes.len() as u32 / texture.height()),
        rows_per_image: None,
    };
    queue.write_texture(texture.as_image_copy(), bytes, layout, texture.size());
}

#[test]
fn float_textures_become_tensors_and_back() {
    use wgpu::TextureFormat::{R32Float, Rg32Float, Rgba32Float};
    let Some((host_device, queue, device)) = host("float textures", wgpu::Features::empty()) else { return };
    // Rows with and without padding to 256 bytes.
    for (format, channels, [h, w]) in [(R32Float, 1, [5, 3]), (Rg32Float, 2, [1, 1]), (Rgba32Float, 4, [2, 16])] {
        let data: Vec<f32> = (0..h * w * channels).map(|i| i as f32 * 0.5 - 3.0).collect();
        let source = texture(&host_device, format, [h, w]);
        draw(&queue, &source, lumigrad_core::bytemuck::cast_slice(&data));
        let tensor = Tensor::from_texture(&device, &source).unwrap();
        // Drawn over at once: the tensor holds what was there before.
        draw(&queue, &source, lumigrad_core::bytemuck::cast_slice(&vec![9.0f32; data.len()]));
        assert_eq!(tensor.shape(), [h, w, channels].map(|n| n as usize));
        assert_eq!(tensor.to_vec::<f32>().unwrap(), data);
        let target = texture(&host_device, format, [h, w]);
        Var::from(tensor).scale(2.0).unwrap().tensor().copy_to_texture(&target).unwrap();
        let back = Tensor::from_texture(&device, &target).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(back, data.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
    }
}

#[test]
fn eight_bit_textures_come_back_exactly_and_srgb_becomes_linear() {
    use wgpu::TextureFormat::{Rgba8Unorm, Rgba8UnormSrgb};
    let Some((host_device, queue, device)) = host("8-bit textures", wgpu::Features::empty()) else { return };
    let bytes: Vec<u8> = (0..1024u32).map(|i| (i * 7 + i / 256) as u8).collect();
    for (format, srgb) in [(Rgba8Unorm, false), (Rgba8UnormSrgb, true)] {
        let source = texture(&host_device, format, [16, 16]);
        draw(&queue, &source, &bytes);
        let tensor = Tensor::from_texture(&device, &source).unwrap();
        let linear = |b: u8, channel: usize| {
            let x = b as f64 / 255.0;
            match srgb && channel < 3 {
                false => x,
                true if x <= 0.04045 => x / 12.92,
                true => ((x + 0.055) / 1.055).powf(2.4),
            }
        };
        for (i, (x, &b)) in tensor.to_vec::<f32>().unwrap().iter().zip(&bytes).enumerate() {
            assert!((*x as f64 - linear(b, i % 4)).abs() < 1e-5, "{b} became {x}, {format:?}");
        }
        let target = texture(&host_device, format, [16, 16]);
        tensor.copy_to_texture(&target).unwrap();
        // The same bytes read as plain numbers are the same bits.
        let back = Tensor::from_texture(&device, &target).unwrap();
        assert_eq!(back.to_vec::<f32>().unwrap(), tensor.to_vec::<f32>().unwrap());
    }
}

#[test]
fn textures_that_cannot_be_shared_are_errors() {
    use wgpu::TextureFormat::{R8Unorm, Rgba32Float};
    let Some((host_device, _, device)) = host("refused textures", wgpu::Features::empty()) else { return };
    let plane = texture(&host_device, Rgba32Float, [2, 2]);
    let message = |r: lumigrad_core::Result<()>| r.unwrap_err().to_string();
    let tensor = Tensor::from_slice(&device, &[0.0f32; 16], &[2, 2, 4]).unwrap();
    assert!(message(Tensor::from_texture(&Device::cpu(), &plane).map(drop)).contains("from_wgpu"));
    let red = texture(&host_device, R8Unorm, [2, 2]);
    assert!(message(Tensor::from_texture(&device, &red).map(drop)).contains("R8Unorm"));
    assert!(message(tensor.reshape(&[4, 1, 4]).unwrap().copy_to_texture(&plane)).contains("[2, 2, 4]"));
    let bits = Tensor::from_slice(&device, &[0u32; 16], &[2, 2, 4]).unwrap();
    assert!(message(bits.copy_to_texture(&plane)).contains("u32"));
}
