use super::*;
use crate::mesh::{MeshMaterial, TriangleMesh, load_mesh};
use crate::picture::{Picture, Transfer};

fn quad() -> TriangleMesh {
    TriangleMesh {
        positions: vec![[0.0, 0.0, 0.1], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.3]],
        normals: Some(vec![[0.0, 0.0, 1.0]; 4]),
        uvs: Some(vec![[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
        colors: Some(vec![[0.0, 0.2, 1.0]; 4]),
        triangles: vec![[0, 1, 2], [0, 2, 3]],
        ..TriangleMesh::default()
    }
}

#[test]
fn obj_round_trip_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quad.obj");
    let texture = folder.path().join("quad.png");
    let mesh = TriangleMesh {
        materials: vec![MeshMaterial { name: "paint".into(), color: [0.5, 0.25, 1.0], texture: Some(texture.clone()) }],
        triangle_materials: vec![Some(0), Some(0)],
        ..quad()
    };
    let data = vec![1.0, 0.0, 0.0];
    let picture = Picture { width: 1, height: 1, channels: 3, data, transfer: Transfer::Srgb, premultiplied: false };
    obj::save(&path, &mesh, &[Some(picture.clone())]).unwrap();
    assert_eq!(load_mesh(&path).unwrap(), mesh);
    assert_eq!(Picture::load(&texture).unwrap(), picture);
}

#[test]
fn obj_seams_become_separate_vertices_and_polygons_fans() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.obj");
    let text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0.25\nf 1/1 2/1 3/1 4/1\nf 1/2 2/1 -2/1\n";
    std::fs::write(&path, text).unwrap();
    let mesh = load_mesh(&path).unwrap();
    assert_eq!((mesh.positions.len(), mesh.triangles.len()), (5, 3));
    assert_eq!(mesh.uvs.unwrap()[mesh.triangles[2][0] as usize], [1.0, 0.75]);
    assert!(mesh.normals.is_none() && mesh.triangle_materials.is_empty());
}

#[test]
fn ply_round_trip_keeps_everything() {
    let bytes = ply::encode(&quad());
    assert_eq!(ply::decode(&bytes, "quad").unwrap(), quad());
    for n in 0..bytes.len() {
        assert!(ply::decode(&bytes[..n], "cut").is_err(), "{n}");
    }
}

#[test]
fn ply_encodings_agree() {
    let head = |format: &str| {
        format!(
            "ply\r\nformat {format} 1.0\r\ncomment hi\nelement junk 1\nproperty list uchar short a\nelement vertex 4\n\
             property double x\nproperty float y\nproperty short z\nelement face 1\nproperty list uchar int vertex_index\nend_header\n"
        )
    };
    let ascii = head("ascii") + "2 5 6\n0 0 0\n1 0 0\n1 1 0\n0 1 -2\n4 0 1 2 3\n";
    let mut big = head("binary_big_endian").into_bytes();
    big.extend([2, 0, 5, 0, 6]);
    for [x, y, z] in [[0i16, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, -2]] {
        big.extend(f64::from(x).to_be_bytes());
        big.extend(f32::from(y).to_be_bytes());
        big.extend(z.to_be_bytes());
    }
    big.push(4);
    big.extend([0i32, 1, 2, 3].iter().flat_map(|v| v.to_be_bytes()));
    let a = ply::decode(ascii.as_bytes(), "a").unwrap();
    assert_eq!(a, ply::decode(&big, "b").unwrap());
    assert_eq!(a.triangles, [[0, 1, 2], [0, 2, 3]]);
    assert_eq!(a.positions[3], [0.0, 1.0, -2.0]);
}

#[test]
fn broken_ply_files_are_errors_that_name_the_place() {
    let vertex = "property float x\nproperty float y\nproperty float z\n";
    let cases = [
        ("plx\n".to_string(), "a:1"),
        ("ply\nformat ascii 1.0\nelement vertex many\n".into(), "a:3"),
        (format!("ply\nformat ascii 1.0\nelement vertex 99999999999\n{vertex}end_header\n1 2 3\n"), "element vertex 1"),
        (format!("ply\nformat ascii 1.0\nelement vertex 1\n{vertex}end_header\n1 2 nan\n"), "not finite"),
        (
            format!(
                "ply\nformat ascii 1.0\nelement vertex 1\n{vertex}element face 1\nproperty list uint int vertex_indices\nend_header\n1 2 3\n4000000000 0 0 0\n"
            ),
            "element face 0",
        ),
        (
            format!(
                "ply\nformat ascii 1.0\nelement vertex 1\n{vertex}element face 1\nproperty list uint int vertex_indices\nend_header\n1 2 3\n3 0 0 7\n"
            ),
            "triangle 0 names vertices",
        ),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n".into(), "x, y and z"),
    ];
    for (text, expected) in cases {
        let found = ply::decode(text.as_bytes(), "a").unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn stl_of_both_kinds_is_welded() {
    let text = "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 1 1 0\nendloop\nendfacet\n\
                facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 1 0\nvertex 0 1 -0.5\nendloop\nendfacet\nendsolid a\n";
    let ascii = stl::decode(text.as_bytes(), "a").unwrap();
    assert_eq!((ascii.positions.len(), &ascii.triangles[..]), (4, &[[0, 1, 2], [0, 2, 3]][..]));
    let mut bytes = b"solid, but binary".to_vec();
    bytes.resize(80, 0);
    bytes.extend(2u32.to_le_bytes());
    for triangle in &ascii.triangles {
        bytes.extend([0; 12]);
        triangle.iter().for_each(|v| bytes.extend(ascii.positions[*v as usize].iter().flat_map(|x| x.to_le_bytes())));
        bytes.extend([0; 2]);
    }
    assert_eq!(stl::decode(&bytes, "b").unwrap(), ascii);
    assert!(stl::decode(b"", "b").is_err());
    assert!(stl::decode(&[255; 200], "b").is_err());
    assert!(stl::decode(b"solid\nvertex 1 2\n", "b").unwrap_err().to_string().contains("b:2"));
}

#[test]
fn odd_mesh_files_load_or_are_errors() {
    let Some(data) = std::env::var_os("LUMIGRAD_DATA") else {
        println!("skipped: LUMIGRAD_DATA is not set");
        return;
    };
    let folder = std::path::Path::new(&data).join("mesh_malformed");
    let count = |name: &str| load_mesh(&folder.join(name)).map(|m| (m.positions.len(), m.triangles.len()));
    for entry in std::fs::read_dir(&folder).unwrap() {
        let _ = load_mesh(&entry.unwrap().path());
    }
    assert_eq!(count("points_emptyascii.ply").unwrap(), (12, 0));
    assert_eq!(count("ply_empty_bin.ply").unwrap(), (0, 0));
    assert_eq!(count("empty.obj").unwrap(), (0, 0));
    assert_eq!(count("polygonfaces.obj").unwrap(), (5, 3));
    assert_eq!(count("negative_indices.obj").unwrap().1, 12);
}
