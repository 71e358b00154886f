"""OpenGL renderer: supersampled G-buffer, many shadowed lights, blurred skin, strands.

Geometry is in dm (see mesh.py); colours are linear RGB until the last pass, which
writes 8-bit sRGB. A region of the picture is drawn with the same pixel grid as the
whole picture.
"""
import moderngl
import numpy as np

WIDTH, HEIGHT = 1280, 720
SS = 2  # subsamples per pixel along each axis
PAD = 12  # pixels drawn around a region so that blurs meet the same neighbours
TILE = 512  # shadow map of one light
CAMERA = np.array([0.0, 7.02, 15.0])
PIXELS_PER_DM = 222.0  # at the plane z = FOCUS_Z
FOCUS_Z = 1.2
SCATTER = (2.9, 1.9, 1.4)  # of red, green, blue light in skin, pixels
SHADOW_CENTRE, SHADOW_RADIUS = np.array([0.0, 6.75, 0.35]), 2.5
MOVING_CENTRE, MOVING_RADIUS = np.array([0.0, 6.55, 1.0]), 0.95  # contains everything that the mouth moves
SKIN, EYE, TEETH, TONGUE, TOP, JACKET = range(6)


def studio_lights():
    """The studio: unit directions to the light [n, 3], colours [n, 3]."""
    rng = np.random.default_rng(7)
    dirs, cols = [], []

    def box(centre, spread, n, colour):
        c = np.array(centre, float)
        c /= np.linalg.norm(c)
        a = np.cross(c, [0, 1, 0])
        a /= np.linalg.norm(a)
        b = np.cross(a, c)
        for k in range(n):
            r, ph = spread * np.sqrt((k + 0.5) / n), k * 2.39996
            d = c + r * (np.cos(ph) * a + np.sin(ph) * b)
            dirs.append(d / np.linalg.norm(d))
            cols.append(np.array(colour) / n)

    box((-0.62, 0.50, 0.80), 0.34, 7, np.array((1.0, 0.90, 0.79)) * 2.35)   # key
    box((0.85, 0.12, 0.62), 0.40, 4, np.array((0.78, 0.90, 1.0)) * 0.52)   # fill
    box((0.80, 0.55, -0.75), 0.20, 2, np.array((1.0, 0.86, 0.68)) * 1.9)   # rim right
    box((-0.85, 0.45, -0.70), 0.20, 1, np.array((0.80, 0.90, 1.0)) * 0.9)  # rim left
    n = 10
    for k in range(n):  # dim surroundings
        y = 1 - 1.75 * (k + 0.5) / n
        ph = k * 2.39996 + rng.uniform(-0.1, 0.1)
        r = np.sqrt(max(0, 1 - y * y))
        d = np.array([r * np.cos(ph), y, r * np.sin(ph) * 0.8 + 0.35])
        dirs.append(d / np.linalg.norm(d))
        cols.append(np.array((0.92, 0.96, 1.0)) * (0.85 if y > -0.2 else 0.6) / n)
    return np.array(dirs), np.array(cols)


def _light_matrices(dirs):
    out = []
    for d in dirs:
        up = np.array([0, 1.0, 0]) if abs(d[1]) < 0.9 else np.array([0, 0, 1.0])
        a = np.cross(up, d)
        a /= np.linalg.norm(a)
        b = np.cross(d, a)
        m = np.eye(4)
        m[:3, :3] = np.stack([a, b, -d]) / SHADOW_RADIUS
        m[:3, 3] = -m[:3, :3] @ SHADOW_CENTRE
        m[2] *= 0.5
        out.append(m)
    return np.array(out)


def projection(region=None):
    """4x4 world-to-clip matrix of a pixel region [x0, y0, x1, y1] (whole picture by default)."""
    f = PIXELS_PER_DM * (CAMERA[2] - FOCUS_Z)
    near, far = 8.0, 24.0
    p = np.array([[2 * f / WIDTH, 0, 0, 0], [0, 2 * f / HEIGHT, 0, 0],
                  [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)], [0, 0, -1, 0]])
    view = np.eye(4)
    view[:3, 3] = -CAMERA
    m = p @ view
    if region is not None:
        x0, y0, x1, y1 = region
        sx, sy = WIDTH / (x1 - x0), HEIGHT / (y1 - y0)
        cx, cy = (x0 + x1) / WIDTH - 1, 1 - (y0 + y1) / HEIGHT
        crop = np.eye(4)
        crop[0, 0], crop[0, 3] = sx, -sx * cx
        crop[1, 1], crop[1, 3] = sy, -sy * cy
        m = crop @ m
    return m


def near_mouth(points):
    """Which rest points [n, 3] can be seen in a region inside the crop rectangle."""
    return (np.abs(points[:, 0]) < 0.81) & (points[:, 1] < 7.28) & (points[:, 1] > 5.6) & (points[:, 2] > -1.0)


def project(points):
    """Pixel positions [n, 2] of world points [n, 3]."""
    h = np.c_[points, np.ones(len(points))] @ projection().T
    ndc = h[:, :2] / h[:, 3:]
    return np.stack([(ndc[:, 0] + 1) * WIDTH / 2, (1 - ndc[:, 1]) * HEIGHT / 2], 1)


_SKINNING = """
uniform mat4 torso;  // from the rest frame to the head's, in which all is drawn and lit
vec3 skinned(vec3 p, float w) { return mix((torso * vec4(p, 1)).xyz, p, w); }
vec3 turned(vec3 n, float w) { return normalize(mix(mat3(torso) * n, n, w)); }
"""

_NOISE = """
float hash(vec3 p) { p = fract(p * vec3(0.1031, 0.1030, 0.0973)); p += dot(p, p.yxz + 33.33); return fract((p.x + p.y) * p.z); }
float noise(vec3 p) {
  vec3 i = floor(p), f = fract(p); f = f * f * (3.0 - 2.0 * f);
  return mix(mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x), mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y),
             mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x), mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y), f.z);
}
float fbm(vec3 p) { return 0.5 * noise(p) + 0.3 * noise(p * 2.03 + 7.1) + 0.2 * noise(p * 4.1 + 3.7); }
"""

_VISIBILITY = """
const int N = %d;
const vec2 GRID = vec2(%d, %d);
uniform vec3 light_dir[N];
uniform vec3 light_col[N];
uniform mat4 light_mat[N];
uniform sampler2DShadow atlas;
float visible(int k, vec3 p, vec2 jitter) {
  vec3 s = (light_mat[k] * vec4(p, 1)).xyz * 0.5 + 0.5;
  vec2 tile = vec2(k %% int(GRID.x), k / int(GRID.x));
  vec2 uv = s.xy + jitter / float(%d);
  if (any(lessThan(uv, vec2(0.003))) || any(greaterThan(uv, vec2(0.997)))) return 1.0;
  return texture(atlas, vec3((tile + uv) / GRID, s.z));
}
"""

_GBUFFER_VS = """
#version 430
in vec3 pos; in vec3 nor; in vec3 ref; in vec4 mask; in float w;
uniform mat4 clip;
%s
out vec3 v_pos; out vec3 v_nor; out vec3 v_ref; out vec4 v_mask; out vec3 v_rest;
void main() {
  v_rest = pos;
  v_pos = skinned(pos, w); v_nor = turned(nor, w); v_ref = ref; v_mask = mask;
  gl_Position = clip * vec4(v_pos, 1);
}
""" % _SKINNING

_GBUFFER_FS = """
#version 430
in vec3 v_pos; in vec3 v_nor; in vec3 v_ref; in vec4 v_mask; in vec3 v_rest;
layout(location=0) out vec4 o_albedo;   // rgb, material + skin softness
layout(location=1) out vec4 o_normal;   // xyz, roughness
layout(location=2) out vec4 o_pos;      // xyz before the torso moves (shadows do not swim), specular strength
uniform int material;
uniform vec3 eye_l, eye_r, mouth, camera, lip_dir;
%s
float gauss(vec3 d, vec3 s) { d /= s; return exp(-dot(d, d)); }
float lip_h(vec3 p) {  // vertical creases of the lips
  float x = p.x * 46.0 + 0.7 * sin(p.x * 21.0) + 0.5 * noise(p * vec3(9, 20, 9));
  return 0.5 * noise(vec3(x, p.y * 5.0, 3.0)) + 0.5 * noise(vec3(x * 1.9, p.y * 9.0, 8.0));
}
float skin_h(vec3 p) { return 0.6 * noise(p * 62.0) + 0.4 * noise(p * 118.0) + 0.18 * noise(p * 17.0); }
float inside_edge(vec3 p, int material, float lapel) {  // as in studio.py
  if (material == 4) return v_mask.x;
  float x = abs(p.x), y = p.y, front = x - 0.10 - 0.36 * max(y - 4.75, 0.0) + 0.9 * max(0.45 - p.z, 0.0);
  float edge = min(front, 6.05 - y);
  if (lapel < 0.5) return edge;
  float notch = smoothstep(5.635, 5.655, y) * (1.0 - smoothstep(5.72, 5.76, y));
  float wide = y < 5.64 ? mix(0.10, 0.42, clamp((y - 4.6) / 1.02, 0.0, 1.0)) : mix(0.30, 0.20, clamp((y - 5.64) / 0.5, 0.0, 1.0));
  return min(edge, wide - 0.10 * notch - front);
}
vec3 bump(vec3 n, vec3 g, float k) { g -= dot(g, n) * n; return normalize(n - k * g); }
void main() {
  vec3 n = normalize(v_nor), p = v_ref, V = normalize(camera - v_pos);
  vec3 albedo; float rough = 0.5, spec = 1.0, soft = 0.0;
  if (material == 0) {
    vec3 q = vec3(abs(p.x), p.y, p.z);
    albedo = vec3(0.600, 0.345, 0.248);
    albedo *= mix(vec3(1.0), vec3(1.05, 0.97, 0.94), fbm(p * 3.0) * 2.0 - 0.7);
    float cheek = gauss(q - vec3(0.52, mouth.y + 0.40, 1.15), vec3(0.30, 0.24, 0.5));
    float nose = gauss(q - vec3(0.0, mouth.y + 0.33, mouth.z + 0.12), vec3(0.16, 0.13, 0.22));
    float chin = gauss(q - vec3(0.0, mouth.y - 0.36, mouth.z - 0.1), vec3(0.20, 0.14, 0.3));
    float red = 0.78 * cheek + 0.5 * nose + 0.22 * chin + 0.35 * v_mask.z;
    vec3 e = q - vec3(abs(eye_l.x), eye_l.yz);
    float socket = gauss(e - vec3(0, -0.02, 0.1), vec3(0.26, 0.17, 0.3));
    red += 0.42 * socket;
    albedo *= mix(vec3(1.0), vec3(1.0, 0.76, 0.73), clamp(red, 0.0, 1.0));
    // light eye shadow on the upper lid, warm brown
    float lid = gauss(e - vec3(0.02, 0.11, 0.1), vec3(0.20, 0.085, 0.4));
    albedo *= mix(vec3(1.0), vec3(0.80, 0.66, 0.60), 0.55 * lid);
    float freckle = smoothstep(0.76, 0.92, noise(p * 34.0)) * (gauss(q - vec3(0.33, mouth.y + 0.45, 1.3), vec3(0.42, 0.22, 0.5)));
    albedo *= mix(vec3(1.0), vec3(0.86, 0.74, 0.66), 0.28 * freckle);
    albedo *= 0.94 + 0.12 * noise(p * 40.0);
    vec3 d = vec3(0.004, 0, 0);
    float lip = smoothstep(0.25, 0.75, v_mask.x);
    float inside = smoothstep(0.35, 0.8, v_mask.y);
    if (lip < 1.0) {
      float h = skin_h(p);
      vec3 g = vec3(skin_h(p + d.xyy) - h, skin_h(p + d.yxy) - h, skin_h(p + d.yyx) - h) / 0.004;
      n = bump(n, g, 0.0015 * (1.0 - lip));
    }
    rough = 0.54 + 0.08 * (noise(p * 9.0) - 0.5) - 0.08 * nose + 0.06 * cheek;
    spec = 0.85;
    if (lip > 0.0) {
      float lh = lip_h(p);
      albedo = mix(albedo, vec3(0.50, 0.155, 0.145) * (0.86 + 0.24 * lh), lip * 0.92);
      rough = mix(rough, 0.34, lip); spec = mix(spec, 1.15, lip);
      vec3 lg = vec3(lip_h(p + d.xyy) - lh, lip_h(p + d.yxy) - lh, 0) / 0.004;
      n = bump(n, lg, 0.0055 * lip);
    }
    albedo = mix(albedo, vec3(0.26, 0.060, 0.052), inside);
    rough = mix(rough, 0.35, inside); spec = mix(spec, 0.8, inside);
    albedo = mix(albedo, vec3(0.030, 0.018, 0.012), v_mask.w);
    soft = 1.0 - 0.6 * v_mask.w; spec *= 1.0 - 0.8 * v_mask.w;
  } else if (material == 1) {
    float r = length(p.xy); float a = atan(p.y, p.x);
    float R = 0.445;
    vec3 white = vec3(0.70, 0.655, 0.62);
    float vein = smoothstep(0.62, 0.8, fbm(vec3(a * 5.0, r * 7.0, p.x * 4.0)));
    white = mix(white, vec3(0.62, 0.34, 0.28), clamp(0.55 * smoothstep(0.62, 0.98, abs(p.x)) + 0.12 * vein * r, 0.0, 1.0));
    float fib = fbm(vec3(a * 9.0 + 1.5 * noise(vec3(r * 16.0, a * 3.0, 1)), r * 3.2, 2.0));
    float t = r / R;
    vec3 iris = mix(vec3(0.120, 0.062, 0.026), vec3(0.060, 0.047, 0.028), smoothstep(0.42, 0.85, t));
    iris *= 0.45 + 1.15 * fib;
    iris *= mix(1.0, 0.22, smoothstep(0.80, 1.0, t));
    iris *= 0.75 + 0.6 * smoothstep(0.25, -0.3, p.y / R);          // light gathers opposite the key
    float pupil = smoothstep(0.36, 0.41, t);
    iris *= mix(0.03, 1.0, pupil);
    albedo = mix(iris, white, smoothstep(0.92, 1.09, t));
    albedo *= mix(1.0, 0.38, smoothstep(0.06, 0.40, p.y));  // shade of the upper lid
    rough = 0.08; spec = 1.0; soft = 0.0;
  } else if (material == 2) {
    float gum = v_mask.x;
    albedo = mix(vec3(0.66, 0.575, 0.475), vec3(0.50, 0.19, 0.17), gum);
    albedo *= 0.95 + 0.1 * noise(p * 30.0);
    albedo *= mix(1.0, 0.55, smoothstep(0.12, 0.34, abs(p.x)) * 0.8);
    rough = 0.22; spec = 0.9; soft = 0.5;
  } else if (material == 3) {
    albedo = vec3(0.56, 0.20, 0.18) * (0.82 + 0.32 * noise(p * vec3(60, 60, 50)));
    albedo *= 1.0 - 0.25 * exp(-pow(p.x / 0.02, 2.0));
    vec3 d = vec3(0.004, 0, 0); float h = noise(p * 75.0);
    n = bump(n, vec3(noise((p + d.xyy) * 75.0) - h, noise((p + d.yxy) * 75.0) - h, noise((p + d.yyx) * 75.0) - h) / 0.004, 0.003);
    rough = 0.36; spec = 0.9; soft = 1.0;
  } else {
    // v_mask: x signed distance inside the garment's edge (dm), y fabric shade, z 1 for lapels
    if (inside_edge(p, material, v_mask.z) < 0.0) discard;
    vec3 d = vec3(0.006, 0, 0);
    if (material == 4) {
      float rib = smoothstep(0.0, 0.16, v_mask.x);
      float u = atan(p.x, p.z + 0.3) * 78.0, v = p.y * 42.0;
      float knit = abs(sin(u + 0.35 * sin(v * 2.0)));
      albedo = vec3(0.62, 0.575, 0.51) * (0.80 + 0.22 * knit) * (0.92 + 0.16 * noise(p * 70.0));
      rough = 0.85; spec = 0.35; soft = 0.35;
    } else {
      float twill = 0.5 * noise(p * vec3(150, 60, 150)) + 0.5 * noise(p * 210.0);
      albedo = vec3(0.022, 0.034, 0.052) * (0.75 + 0.5 * twill) * (0.96 + 0.08 * noise(p * 22.0)) * v_mask.y;
      rough = 0.72; spec = 0.5;
      float h = fbm(p * 2.2);
      n = bump(n, vec3(fbm((p + d.xyy) * 2.2) - h, fbm((p + d.yxy) * 2.2) - h, fbm((p + d.yyx) * 2.2) - h) / 0.006, 0.035);
    }
    if (!gl_FrontFacing) { n = -n; albedo = vec3(0.15, 0.15, 0.16); }
  }
  if (material == 2 && dot(n, V) < 0.0) n = -n;
  if (material < 4 && dot(n, V) < 0.0) n = normalize(n - 1.02 * dot(n, V) * V);
  o_albedo = vec4(albedo, float(material) + 0.9 * soft * 0.999 + 0.05);
  o_normal = vec4(n, rough);
  o_pos = vec4(v_rest, spec);
}
""" % _NOISE

_SHADOW_VS = """
#version 430
in vec3 pos;
uniform mat4 light;
void main() { gl_Position = light * vec4(pos, 1); }
"""

_SHADOW_CLOTH_VS = """
#version 430
in vec3 pos; in vec4 mask;
uniform mat4 light;
out float below;
void main() { below = mask.x; gl_Position = light * vec4(pos, 1); }
"""

_SHADOW_CLOTH_FS = """
#version 430
in float below;
void main() { if (below < 0.0) discard; }
"""

_QUAD_VS = """
#version 430
in vec2 pos; out vec2 uv;
void main() { uv = pos * 0.5 + 0.5; gl_Position = vec4(pos, 0, 1); }
"""

_LIGHT_FS = """
#version 430
in vec2 uv;
layout(location=0) out vec4 o_diffuse;
layout(location=1) out vec4 o_spec;
uniform sampler2D g_albedo, g_normal, g_pos;
uniform vec3 camera;
%s
float ggx(float nh, float a) { float a2 = a * a, d = nh * nh * (a2 - 1.0) + 1.0; return a2 / (3.1416 * d * d); }
float panel(vec3 r, vec3 c, vec2 size, float edge) {  // reflection of a softbox
  c = normalize(c); vec3 a = normalize(cross(vec3(0,1,0), c)), b = cross(c, a);
  float z = dot(r, c); if (z <= 0.0) return 0.0;
  vec2 q = abs(vec2(dot(r, a), dot(r, b)) / z) / size;
  return smoothstep(1.0 + edge, 1.0 - edge, q.x) * smoothstep(1.0 + edge, 1.0 - edge, q.y);
}
void main() {
  ivec2 px = ivec2(gl_FragCoord.xy);
  vec4 A = texelFetch(g_albedo, px, 0);
  if (A.a == 0.0) { o_diffuse = vec4(0); o_spec = vec4(0); return; }
  vec4 G = texelFetch(g_normal, px, 0), P = texelFetch(g_pos, px, 0);
  int material = int(A.a); 
  vec3 n = normalize(G.xyz), p = P.xyz, V = normalize(camera - p);
  vec2 j = vec2(px %% 2) * 2.0 - 1.0;
  j = vec2(j.x + 0.5 * j.y, j.y - 0.5 * j.x) * 1.5;
  vec3 diffuse = vec3(0), spec = vec3(0);
  float nv = max(dot(n, V), 0.02), ao = 0.0, total = 0.0;
  float r1 = G.a * G.a, r2 = r1 * 0.55;
  vec3 q = p + n * 0.022;
  vec3 ns = n;
  if (material == 1) ns = normalize(n);
  for (int k = 0; k < N; k++) {
    vec3 L = light_dir[k];
    float nl = dot(n, L);
    float wrap = material == 2 ? 0.25 : 0.0;
    float d = max((nl + wrap) / (1.0 + wrap), 0.0);
    if (d <= 0.0) continue;
    float v = visible(k, q + L * (0.010 + 0.014 * (1.0 - max(nl, 0.0))), j);
    if (material == 1) v = mix(v, 1.0, 0.25);
    diffuse += light_col[k] * d * v;
    ao += d * v; total += d;
    if (v > 0.0 && nl > 0.0) {
      vec3 H = normalize(L + V); float nh = max(dot(n, H), 0.0), vh = max(dot(V, H), 0.0);
      float f = 0.028 + 0.972 * pow(1.0 - vh, 5.0);
      float D = 0.72 * ggx(nh, r1) + 0.28 * ggx(nh, r2);
      float k1 = r1 * 0.5, vis = 1.0 / ((nl * (1.0 - k1) + k1) * (nv * (1.0 - k1) + k1));
      spec += light_col[k] * v * nl * min(0.25 * D * f * vis, 8.0);
    }
  }
  if (material == 1) {
    vec3 r = reflect(-V, n);
    float open_ = smoothstep(0.15, 0.6, ao / max(total, 1e-3));
    float fr = 0.03 + 0.97 * pow(1.0 - nv, 5.0);
    vec3 env = vec3(1.0, 0.95, 0.88) * 38.0 * panel(r, vec3(-0.40, 0.27, 0.87), vec2(0.17, 0.17), 0.4)
             + vec3(0.8, 0.92, 1.0) * 2.0 * panel(r, vec3(0.70, 0.10, 0.70), vec2(0.14, 0.30), 0.6)
             + vec3(0.10, 0.11, 0.12) * smoothstep(-0.3, 0.6, r.y);
    spec = env * fr * open_;
  }
  o_diffuse = vec4(diffuse, material == 1 || material >= 4 ? 0.0 : 1.0);
  o_spec = vec4(spec * P.a, 1.0);
}
"""

_COPY_FS = """
#version 430
uniform sampler2D src;
void main() { gl_FragDepth = texelFetch(src, ivec2(gl_FragCoord.xy), 0).r; }
"""

_SHRINK_FS = """
#version 430
in vec2 uv; out vec4 o;
uniform sampler2D src;
void main() {
  ivec2 b = ivec2(gl_FragCoord.xy) * %d; vec4 s = vec4(0);
  for (int y = 0; y < %d; y++) for (int x = 0; x < %d; x++) { vec4 t = texelFetch(src, b + ivec2(x, y), 0); s += vec4(t.rgb * t.a, t.a); }
  o = s / %d.0;
}
""" % (SS, SS, SS, SS * SS)

_BLUR_FS = """
#version 430
in vec2 uv; out vec4 o;
uniform sampler2D src; uniform ivec2 axis;
uniform vec3 weight[12];
void main() {
  ivec2 px = ivec2(gl_FragCoord.xy), hi = textureSize(src, 0) - 1;
  vec3 s = vec3(0), ws = vec3(0); float a = texelFetch(src, px, 0).a;
  for (int k = -11; k <= 11; k++) {
    vec4 t = texelFetch(src, clamp(px + axis * k, ivec2(0), hi), 0);
    vec3 g = weight[abs(k)];
    s += g * t.rgb; ws += g * t.a;
  }
  o = vec4(s / max(ws, vec3(1e-4)) * a, a);
}
"""

_COMPOSE_FS = """
#version 430
in vec2 uv; out vec4 o;
uniform sampler2D g_albedo, diffuse, spec, scattered, set_picture;
uniform vec4 set_rect;
void main() {
  ivec2 px = ivec2(gl_FragCoord.xy);
  vec4 A = texelFetch(g_albedo, px, 0);
  if (A.a == 0.0) { o = vec4(texture(set_picture, mix(set_rect.xy, set_rect.zw, uv)).rgb, 1); return; }
  float soft = fract(A.a) > 0.06 ? (fract(A.a) - 0.05) / 0.9 : 0.0;
  vec3 d = texelFetch(diffuse, px, 0).rgb;
  vec4 s = texture(scattered, uv);
  if (s.a > 0.02) d = mix(d, s.rgb / s.a, soft * 0.92);
  o = vec4(A.rgb * d * 0.62 + texelFetch(spec, px, 0).rgb, 1);
}
"""

_BAKE_VS = """
#version 430
in vec3 pos; in vec3 tan_; in float along; in float rnd;
uniform vec3 camera; uniform int kind;
%s
out vec3 v_col;
float lobe(float s, float e) { return pow(sqrt(max(0.0, 1.0 - s * s)), e); }
void main() {
  vec3 p = pos, T = normalize(tan_), V = normalize(camera - p);
  vec3 base = mix(vec3(0.021, 0.0105, 0.0058), vec3(0.062, 0.030, 0.0145), clamp(along * 0.6 + 0.75 * (rnd - 0.35), 0.0, 1.0));
  if (kind == 1) base = vec3(0.036, 0.021, 0.014);
  if (kind == 2) base = vec3(0.012, 0.008, 0.006);
  vec3 outward = normalize(p - vec3(0, 7.3, 0.35));
  vec3 sum = vec3(0);
  float shift = 0.10 + 0.12 * (rnd - 0.5);
  for (int k = 0; k < N; k++) {
    vec3 L = light_dir[k];
    float v = kind == 0 ? 0.12 + 0.88 * visible(k, p + L * 0.05 + outward * 0.05, vec2(0)) : visible(k, p + L * 0.02 + outward * 0.02, vec2(0));
    float tl = dot(T, L), face = clamp(0.55 + 0.6 * dot(outward, L), 0.0, 1.0);
    vec3 H = normalize(L + V);
    vec3 T1 = normalize(T - outward * shift), T2 = normalize(T + outward * shift * 1.6);
    float s1 = lobe(dot(T1, H), 90.0), s2 = lobe(dot(T2, H), 16.0);
    float gloss = kind == 0 ? 1.0 : 0.12;
    sum += light_col[k] * v * face * (base * (0.25 + 0.75 * sqrt(max(0.0, 1.0 - tl * tl))) * 0.62
         + gloss * (vec3(0.055) * s1 + base * 0.75 * s2));
  }
  v_col = sum * (0.75 + 0.5 * rnd) + base * 0.02;
}
"""

_STRAND_VS = """
#version 430
in vec3 pos; in vec3 tan_; in float side; in float along; in float width; in vec3 col;
uniform mat4 clip;
uniform vec3 camera; uniform float pixel; uniform int kind;
out vec3 v_col; out float v_side; out float v_alpha;
void main() {
  vec3 V = normalize(camera - pos);
  float wide = max(width, pixel);
  v_alpha = clamp(width / wide, 0.0, 1.0) * (kind == 0 ? smoothstep(1.0, 0.93, along) * smoothstep(-0.01, 0.035, along)
                                           : kind == 1 ? 0.5 : 0.9);
  v_side = side; v_col = col;
  vec3 p = pos + normalize(cross(V, tan_)) * side * wide * 0.5 + V * (kind == 0 ? 0.0 : 0.012);
  gl_Position = clip * vec4(p, 1);
}
"""

_STRAND_FS = """
#version 430
in vec3 v_col; in float v_side; in float v_alpha; out vec4 o;
void main() { o = vec4(v_col, v_alpha * smoothstep(1.0, 0.35, abs(v_side))); }
"""

_SHOW_FS = """
#version 430
in vec2 uv; out vec4 o;
uniform sampler2D src; uniform ivec2 origin; uniform ivec2 trim; uniform int rows;
vec3 film(vec3 x) { x *= 1.02; return clamp((x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0); }
float rnd(vec2 p) { vec3 q = fract(vec3(p.xyx) * 0.1031); q += dot(q, q.yzx + 33.33); return fract((q.x + q.y) * q.z); }
void main() {
  ivec2 px = ivec2(gl_FragCoord.xy) + ivec2(trim.x, trim.y), b = px * %d; vec3 s = vec3(0); float ws = 0.0;
  ivec2 hi = textureSize(src, 0) - 1;
  for (int y = -1; y <= %d; y++) for (int x = -1; x <= %d; x++) {
    float g = (x < 0 || x == %d ? 0.30 : 1.0) * (y < 0 || y == %d ? 0.30 : 1.0);
    s += g * film(texelFetch(src, clamp(b + ivec2(x, y), ivec2(0), hi), 0).rgb * 0.86); ws += g;
  }
  s /= ws;
  s = pow(s, vec3(1.0 / 2.2));
  s = mix(s, s * s * (3.0 - 2.0 * s), 0.16);
  vec2 at = vec2(origin) + vec2(gl_FragCoord.x, float(rows) - gl_FragCoord.y);
  float g = rnd(floor(at)) + rnd(floor(at) + 91.7) - 1.0;
  o = vec4(s + g * 1.1 / 255.0, 1);
}
""" % (SS, SS, SS, SS, SS)


class Renderer:
    """Draws the meshes and strands given to it; see render()."""

    def __init__(self):
        self.ctx = ctx = moderngl.create_context(standalone=True, backend="egl")
        self.dirs, cols = studio_lights()
        self.mats = _light_matrices(self.dirs)
        n = len(self.dirs)
        self.grid = (8, -(-n // 8))
        vis = _VISIBILITY % (n, *self.grid, TILE)
        prog = lambda vs, fs: ctx.program(vertex_shader=vs, fragment_shader=fs)
        # one program per material: llvmpipe runs all sides of a branch
        self.p_g = [prog(_GBUFFER_VS, _GBUFFER_FS.replace("uniform int material", f"const int material = {m}"))
                    for m in range(6)]
        self.p_shadow = prog(_SHADOW_VS, "#version 430\nvoid main() {}")
        self.p_shadow_cloth = prog(_SHADOW_CLOTH_VS, _SHADOW_CLOTH_FS)
        self.p_light = prog(_QUAD_VS, _LIGHT_FS % vis)
        self.p_shrink = prog(_QUAD_VS, _SHRINK_FS)
        self.p_copy = prog(_QUAD_VS, _COPY_FS)
        self.p_blur = prog(_QUAD_VS, _BLUR_FS)
        self.p_compose = prog(_QUAD_VS, _COMPOSE_FS)
        self.p_strand = prog(_STRAND_VS, _STRAND_FS)
        self.p_bake = ctx.program(vertex_shader=_BAKE_VS % vis, varyings=["v_col"])
        self.p_show = prog(_QUAD_VS, _SHOW_FS)
        k2 = np.arange(12.0)[:, None] ** 2
        sigma2 = np.array(SCATTER)[None] ** 2
        weight = 0.72 * np.exp(-0.5 * k2 / sigma2) + 0.28 * np.exp(-3.1 * k2 / sigma2)
        self.p_blur["weight"].write(_bytes(weight, "f4"))
        quad = ctx.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], "f4"))
        self.quads = {p: ctx.vertex_array(p, [(quad, "2f", "pos")])
                      for p in (self.p_light, self.p_shrink, self.p_blur, self.p_compose, self.p_show, self.p_copy)}
        self.atlas = ctx.depth_texture((TILE * self.grid[0], TILE * self.grid[1]))
        self.atlas.compare_func = "<="
        self.atlas.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self.atlas_fbo = ctx.framebuffer(depth_attachment=self.atlas)
        self.still_atlas = ctx.depth_texture(self.atlas.size)
        self.still_atlas.compare_func = ""
        self.moving_boxes = [(0, 0, *self.atlas.size)]
        self.still_fbo = ctx.framebuffer(depth_attachment=self.still_atlas)
        for p in (self.p_light, self.p_bake):
            p["light_dir"].write(self.dirs.astype("f4").tobytes())
            p["light_col"].write(cols.astype("f4").tobytes())
            p["light_mat"].write(np.ascontiguousarray(self.mats.transpose(0, 2, 1)).astype("f4").tobytes())
            p["atlas"] = 0
        self.p_bake["camera"] = tuple(CAMERA)
        self.set_texture = ctx.texture((WIDTH, HEIGHT), 3, dtype="f2")
        self.meshes, self.strands, self.targets = {}, {}, {}

    def set_picture(self, image):
        """Sets the background picture: [720, 1280, 3] float, linear RGB."""
        self.set_texture.write(np.ascontiguousarray(image[::-1].astype("f2")).tobytes())

    def landmarks(self, **points):
        """Reference points (uniforms of the skin shader), each [3]."""
        for k, v in points.items():
            for p in self.p_g:
                if k in p:
                    p[k] = tuple(float(x) for x in v)

    def add_mesh(self, name, material, ref, mask, w, tris, moving=None):
        """A mesh of n vertices: ref [n, 3], mask [n, 4], w [n] head weights, triangles.

        moving: flags per triangle (or one for all) of those whose shadows change with the mouth.
        """
        ctx, n = self.ctx, len(ref)
        move = ctx.buffer(reserve=n * 24, dynamic=True)
        still = ctx.buffer(_bytes(np.concatenate([ref, mask, np.reshape(w, (-1, 1))], 1), "f4"))
        cloth = material >= TOP
        caster = self.p_shadow_cloth if cloth else self.p_shadow
        moving = np.broadcast_to(False if moving is None else moving, len(tris))

        def cast(t):
            masks = [(still, "12x 4f 4x", "mask")] if cloth else []
            return len(t) and ctx.vertex_array(caster, [(move, "3f 12x", "pos"), *masks], ctx.buffer(_bytes(t, "i4")))

        def draw(t):
            return len(t) and ctx.vertex_array(
                self.p_g[material], [(move, "3f 3f", "pos", "nor"), (still, "3f 4f 1f", "ref", "mask", "w")],
                index_buffer=ctx.buffer(_bytes(t, "i4")), skip_errors=True)

        self.meshes[name] = dict(
            material=material, move=move, cast_still=cast(tris[~moving]), cast_moving=cast(tris[moving]),
            draw=draw(tris), draw_near=draw(tris[near_mouth(ref[tris[:, 0]])]))

    def move(self, name, pos, nor):
        """New positions and normals [n, 3] of a mesh."""
        self.meshes[name]["move"].write(np.concatenate([pos, nor], 1).astype("f4").tobytes())

    def add_strands(self, name, kind, layout):
        """A set of strands; layout as from ribbons(). kind: 0 hair, 1 brows, 2 lashes."""
        ctx = self.ctx
        vbo, n = ctx.buffer(_bytes(layout["vertices"], "f4")), len(layout["vertices"])
        col = ctx.buffer(reserve=n * 12)

        def draw(t):
            return ctx.vertex_array(self.p_strand, [
                (vbo, "3f 3f 1f 1f 4x 1f", "pos", "tan_", "side", "along", "width"), (col, "3f", "col")],
                ctx.buffer(_bytes(t, "i4")))

        v = layout["vertices"][layout["tris"][:, 0]]
        near = near_mouth(v) & (np.abs(v[:, 0]) > 0.30)  # the rest is hidden behind the neck
        item = dict(kind=kind, vbo=vbo, col=col, draw=draw(layout["tris"]),
                    draw_near=draw(layout["tris"][near]) if kind == 0 and near.any() else None,
                    bake=ctx.vertex_array(self.p_bake, [(vbo, "3f 3f 4x 1f 1f 4x", "pos", "tan_", "along", "rnd")]))
        if "cast" in layout:
            pos = ctx.buffer(_bytes(layout["cast"], "f4"))
            ci = ctx.buffer(_bytes(layout["cast_tris"], "i4"))
            item["cast"] = ctx.vertex_array(self.p_shadow, [(pos, "3f", "pos")], ci)
        self.strands[name] = item

    def move_strands(self, name, layout):
        """New vertices for a set of strands of the same size."""
        self.strands[name]["vbo"].write(_bytes(layout["vertices"], "f4"))

    def _target(self, size):
        if size not in self.targets:
            ctx, (w, h) = self.ctx, size
            tex = lambda s, dt: ctx.texture(s, 4, dtype=dt)
            big, dtypes = (w * SS, h * SS), ("f2", "f2", "f4")
            g = [tex(big, d) for d in dtypes]
            depth = ctx.depth_renderbuffer(big)
            lit = [tex(big, "f2"), tex(big, "f2")]
            small = [tex(size, "f2"), tex(size, "f2")]
            for t in small:
                t.filter = (moderngl.LINEAR, moderngl.LINEAR)
            final = tex(big, "f2")
            self.targets[size] = dict(
                g=g, lit=lit, small=small, final=final,
                g_fbo=ctx.framebuffer(g, depth), lit_fbo=ctx.framebuffer(lit),
                small_fbo=[ctx.framebuffer([t]) for t in small],
                final_fbo=ctx.framebuffer([final], depth))
        return self.targets[size]

    def _cast(self, fbo, vaos):
        self.ctx.enable_only(moderngl.DEPTH_TEST)
        fbo.use()
        for k in range(len(self.mats)):
            x, y = k % self.grid[0], k // self.grid[0]
            fbo.viewport = (x * TILE, y * TILE, TILE, TILE)
            for p in (self.p_shadow, self.p_shadow_cloth):
                p["light"].write(_gl(self.mats[k]))
            for v in vaos:
                v.render()

    def settle(self):
        """Draws the shadows of everything that the mouth does not move, and lights the strands; once, at rest."""
        self.still_fbo.clear(depth=1.0)
        self._cast(self.still_fbo, [m["cast_still"] for m in self.meshes.values() if m["cast_still"]]
                   + [s["cast"] for s in self.strands.values() if "cast" in s])
        self._moving_shadows()
        half = int(np.ceil(MOVING_RADIUS / SHADOW_RADIUS * TILE / 2)) + 1
        centres = (self.mats[:, :2] @ np.append(MOVING_CENTRE, 1) * 0.5 + 0.5) * TILE
        self.moving_boxes = [(int(c[0]) + k % self.grid[0] * TILE - half, int(c[1]) + k // self.grid[0] * TILE - half,
                              2 * half, 2 * half) for k, c in enumerate(centres)]
        self.atlas.use(0)
        for s in self.strands.values():
            self.p_bake["kind"] = s["kind"]
            s["bake"].transform(s["col"], moderngl.POINTS)

    def _moving_shadows(self):
        self.ctx.enable_only(moderngl.DEPTH_TEST)
        self.ctx.depth_func = "1"
        self.atlas_fbo.use()
        self.atlas_fbo.viewport = (0, 0, *self.atlas.size)
        self._bind(self.p_copy, src=self.still_atlas)
        for box in self.moving_boxes:
            self.atlas_fbo.scissor = box
            self._pass(self.p_copy)
        self.atlas_fbo.scissor = None
        self.ctx.depth_func = "<"
        self._cast(self.atlas_fbo, [m["cast_moving"] for m in self.meshes.values() if m["cast_moving"]])

    def render(self, head, torso, region=None):
        """Draws the picture, or a pixel region [x0, y0, x1, y1] inside the crop rectangle.

        head, torso: 4x4 from the rest frame to the world. Returns uint8 [h, w, 3] sRGB.
        """
        ctx = self.ctx
        torso = np.linalg.inv(head) @ torso
        for p in self.p_g:
            p["torso"].write(_gl(torso))
        for p in (*self.p_g, self.p_light, self.p_strand):
            if "camera" in p:
                p["camera"] = tuple(np.linalg.solve(head, [*CAMERA, 1])[:3])
        self._moving_shadows()
        x0, y0, x1, y1 = region or (0, 0, WIDTH, HEIGHT)
        pad = 0 if region is None else PAD
        big = (x0 - pad, y0 - pad, x1 + pad, y1 + pad)
        size = (big[2] - big[0], big[3] - big[1])
        t = self._target(size)
        clip = _gl(projection(big) @ head)
        t["g_fbo"].use()
        t["g_fbo"].clear(0, 0, 0, 0, depth=1.0)
        ctx.enable_only(moderngl.DEPTH_TEST)
        for p in (*self.p_g, self.p_strand):
            p["clip"].write(clip)
        for m in self.meshes.values():
            vao = m["draw" if region is None else "draw_near"]
            if vao:
                ctx.enable_only(moderngl.DEPTH_TEST | (moderngl.CULL_FACE if m["material"] == SKIN else 0))
                vao.render()
        ctx.enable_only(moderngl.NOTHING)
        self.atlas.use(0)
        t["lit_fbo"].use()
        self._bind(self.p_light, g_albedo=t["g"][0], g_normal=t["g"][1], g_pos=t["g"][2])
        self._pass(self.p_light)
        t["small_fbo"][0].use()
        self._bind(self.p_shrink, src=t["lit"][0])
        self._pass(self.p_shrink)
        for k, axis in ((1, (1, 0)), (0, (0, 1))):
            t["small_fbo"][k].use()
            self.p_blur["axis"] = axis
            self._bind(self.p_blur, src=t["small"][1 - k])
            self._pass(self.p_blur)
        t["final_fbo"].use()
        self.p_compose["set_rect"] = (big[0] / WIDTH, 1 - big[3] / HEIGHT, big[2] / WIDTH, 1 - big[1] / HEIGHT)
        self._bind(self.p_compose, g_albedo=t["g"][0], diffuse=t["lit"][0], spec=t["lit"][1],
                   scattered=t["small"][0], set_picture=self.set_texture)
        self._pass(self.p_compose)
        ctx.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
        ctx.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA
        t["final_fbo"].depth_mask = False
        self.p_strand["pixel"] = 1.15 / (PIXELS_PER_DM * SS)
        for s in self.strands.values():
            vao = s["draw" if region is None else "draw_near"]
            if vao:
                self.p_strand["kind"] = s["kind"]
                vao.render()
        t["final_fbo"].depth_mask = True
        ctx.enable_only(moderngl.NOTHING)
        out_size = (x1 - x0, y1 - y0)
        key = ("out", out_size)
        if key not in self.targets:
            self.targets[key] = ctx.framebuffer([ctx.texture(out_size, 4)])
        out = self.targets[key]
        out.use()
        self.p_show["origin"], self.p_show["trim"], self.p_show["rows"] = (x0, y0), (pad, pad), out_size[1]
        self._bind(self.p_show, src=t["final"])
        self._pass(self.p_show)
        data = np.frombuffer(out.read(components=3, alignment=1), np.uint8)
        return data.reshape(out_size[1], out_size[0], 3)[::-1].copy()

    def _bind(self, prog, **textures):
        for unit, (name, tex) in enumerate(textures.items(), 1):
            tex.use(unit)
            prog[name] = unit

    def _pass(self, prog):
        self.quads[prog].render(moderngl.TRIANGLE_STRIP)


def _bytes(a, dtype):
    return np.ascontiguousarray(a, dtype).tobytes()


def _gl(m):
    return np.ascontiguousarray(np.asarray(m).T).astype("f4").tobytes()


def ribbons(points, width, rnd, cast_every=0, cast_width=0.05):
    """Strands [s, k, 3] as camera-facing ribbons for Renderer.add_strands.

    Later strands are drawn over earlier ones. width [s, k] in dm; rnd [s] in 0..1 varies
    colour; every cast_every-th strand casts shadows.
    """
    s, k, _ = points.shape
    tan = np.gradient(points, axis=1)
    tan /= np.linalg.norm(tan, axis=2, keepdims=True).clip(1e-9)
    along = np.broadcast_to(np.linspace(0, 1, k), (s, k))
    rows = np.concatenate([points, tan, np.zeros((s, k, 1)), along[..., None],
                           np.broadcast_to(rnd[:, None, None], (s, k, 1)), width[..., None]], -1)
    both = np.stack([rows, rows], 2)
    both[:, :, 0, 6], both[:, :, 1, 6] = -1, 1
    base = (np.arange(s)[:, None] * k + np.arange(k - 1)) * 2
    tris = np.stack([base, base + 1, base + 2, base + 1, base + 3, base + 2], -1)
    out = {"vertices": both.reshape(-1, 10), "tris": tris.reshape(-1, 3)}
    if cast_every:
        c = points[::cast_every]
        t = tan[::cast_every]
        side = np.cross(t, c - np.array([0, 7.3, 0.3]))
        side /= np.linalg.norm(side, axis=2, keepdims=True).clip(1e-9)
        two = np.stack([c - side * cast_width / 2, c + side * cast_width / 2], 2)
        m = len(c)
        base = (np.arange(m)[:, None] * k + np.arange(k - 1)) * 2
        out["cast"] = two.reshape(-1, 3)
        out["cast_tris"] = np.stack([base, base + 1, base + 2, base + 1, base + 3, base + 2], -1).reshape(-1, 3)
    return out
