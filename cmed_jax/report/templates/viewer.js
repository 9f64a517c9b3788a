// Draws isosurfaces in their cells. One WebGL context serves all canvases: each view is drawn into
// it and copied. Dragging, or the arrow keys, turn all views of a material together. A canvas shows
// the surface that its data-kind names; radio buttons of the material choose another.
"use strict";

const gallery = JSON.parse(document.getElementById("gallery-data").textContent);
const palette = ["#c2573a", "#4a7d55", "#7b5ea7", "#b8862b", "#3f7f93", "#a04a6b"];
const surfaceColours = { truth: "#8d99a6" };
const plainColour = "#3b6ea5";
const sheet = document.createElement("canvas");
const gl = sheet.getContext("webgl", { antialias: true, alpha: false });

const vertexSource = `
  attribute vec3 position, normal;
  attribute float value;
  uniform mat3 turn;
  uniform vec3 centre, offset;
  uniform float scale, size;
  varying vec3 facing;
  varying float doubt;
  void main() {
    vec3 seen = turn * (position * size + offset - centre) * scale;
    gl_Position = vec4(seen.xy, -0.5 * seen.z, 1.0);
    facing = turn * normal;
    doubt = value;
  }`;
const fragmentSource = `
  precision mediump float;
  uniform vec4 colour;
  uniform float lit;
  varying vec3 facing;
  varying float doubt;
  const vec3 medium = vec3(0.85, 0.66, 0.28), large = vec3(0.71, 0.29, 0.23);
  void main() {
    vec3 hue = mix(mix(colour.rgb, medium, min(2.0 * doubt, 1.0)), large, max(2.0 * doubt - 1.0, 0.0));
    vec3 n = normalize(facing);
    float light = abs(dot(n, normalize(vec3(0.3, 0.5, 0.8))));
    float gleam = pow(abs(dot(n, normalize(vec3(0.15, 0.3, 0.95)))), 24.0);
    vec3 shaded = hue * (0.45 + 0.6 * light) + 0.12 * gleam;
    gl_FragColor = vec4(mix(hue, shaded, lit), colour.a);
  }`;

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

function rgba(hex, alpha) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).concat(alpha);
}

// Normals of corners: the sum of the normals of the faces that meet there.
function normalsOf(positions, faces) {
  const normals = new Float32Array(positions.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [i, j, k] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const u = [0, 1, 2].map((x) => positions[j + x] - positions[i + x]);
    const v = [0, 1, 2].map((x) => positions[k + x] - positions[i + x]);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const corner of [i, j, k]) for (let x = 0; x < 3; x++) normals[corner + x] += n[x];
  }
  return normals;
}

function surfaceMesh(surface) {
  const packed = new Uint16Array(bytes(surface.positions));
  const positions = Float32Array.from(packed, (value, i) =>
    surface.origin[i % 3] + (value / 65535) * surface.size);
  const faces = new Uint32Array(bytes(surface.faces));
  const values = surface.values && Float32Array.from(new Uint8Array(bytes(surface.values)), (x) => x / 255);
  return upload(positions, faces, normalsOf(positions, faces), values);
}

function sphereMesh(rings, sectors) {
  const positions = [], faces = [];
  for (let i = 0; i <= rings; i++) {
    for (let j = 0; j <= sectors; j++) {
      const [theta, phi] = [(Math.PI * i) / rings, (2 * Math.PI * j) / sectors];
      positions.push(Math.sin(theta) * Math.cos(phi), Math.sin(theta) * Math.sin(phi), Math.cos(theta));
      const corner = i * (sectors + 1) + j;
      if (i < rings && j < sectors) {
        faces.push(corner, corner + sectors + 1, corner + 1);
        faces.push(corner + 1, corner + sectors + 1, corner + sectors + 2);
      }
    }
  }
  return upload(Float32Array.from(positions), Uint32Array.from(faces), Float32Array.from(positions));
}

function cellMesh(lattice) {
  const corners = [];
  for (let i = 0; i < 8; i++) {
    for (let x = 0; x < 3; x++) {
      corners.push([0, 1, 2].reduce((sum, k) => sum + ((i >> k) & 1) * lattice[k][x], 0));
    }
  }
  const edges = [];
  for (let i = 0; i < 8; i++) for (const bit of [1, 2, 4]) if (!(i & bit)) edges.push(i, i | bit);
  const mesh = upload(Float32Array.from(corners), Uint32Array.from(edges), new Float32Array(24).fill(1));
  return { ...mesh, mode: gl.LINES };
}

function upload(positions, faces, normals, values = new Float32Array(positions.length / 3)) {
  const buffer = (target, data) => {
    const made = gl.createBuffer();
    gl.bindBuffer(target, made);
    gl.bufferData(target, data, gl.STATIC_DRAW);
    return made;
  };
  return {
    positions: buffer(gl.ARRAY_BUFFER, positions),
    normals: buffer(gl.ARRAY_BUFFER, normals),
    values: buffer(gl.ARRAY_BUFFER, values),
    faces: buffer(gl.ELEMENT_ARRAY_BUFFER, faces),
    count: faces.length,
    mode: gl.TRIANGLES,
  };
}

function startProgram() {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.getExtension("OES_element_index_uint");
  gl.enable(gl.DEPTH_TEST);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  const names = ["turn", "centre", "offset", "scale", "size", "colour", "lit"];
  const uniforms = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
  const attributes = ["position", "normal", "value"].map((name) => gl.getAttribLocation(program, name));
  attributes.forEach((place) => gl.enableVertexAttribArray(place));
  return { uniforms, attributes };
}

function drawMesh(mesh, colour, { lit = 1, size = 1, offset = [0, 0, 0] } = {}) {
  const { uniforms, attributes } = program;
  gl.uniform4fv(uniforms.colour, colour);
  gl.uniform1f(uniforms.lit, lit);
  gl.uniform1f(uniforms.size, size);
  gl.uniform3fv(uniforms.offset, offset);
  [mesh.positions, mesh.normals, mesh.values].forEach((buffer, i) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.vertexAttribPointer(attributes[i], i < 2 ? 3 : 1, gl.FLOAT, false, 0, 0);
  });
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, mesh.faces);
  gl.drawElements(mesh.mode, mesh.count, gl.UNSIGNED_INT, 0);
}

function product(a, b) {
  return a.map((row) => [0, 1, 2].map((j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
}

function turned(matrix, right, up) {
  const [c, s, d, t] = [Math.cos(right), Math.sin(right), Math.cos(up), Math.sin(up)];
  return product(product([[1, 0, 0], [0, d, -t], [0, t, d]], [[c, 0, s], [0, 1, 0], [-s, 0, c]]), matrix);
}

const program = gl && startProgram();
const sphere = gl && sphereMesh(12, 18);

class Material {
  constructor(entry, figure) {
    this.entry = entry;
    this.canvases = [...figure.querySelectorAll("canvas")];
    // a to the right and a little towards the reader, c up.
    this.turn = turned([[1, 0, 0], [0, 0, 1], [0, -1, 0]], -0.5, 0.3);
    const corner = (i) => [0, 1, 2].map((x) =>
      [0, 1, 2].reduce((sum, k) => sum + ((i >> k) & 1) * entry.lattice[k][x], 0));
    this.centre = corner(7).map((x) => x / 2);
    const reach = [0, 1, 2, 3, 4, 5, 6, 7].map((i) =>
      Math.hypot(...corner(i).map((x, k) => x - this.centre[k])));
    this.scale = 0.86 / Math.max(...reach);
    this.corner = corner;
    const elements = [...new Set(entry.atoms.map((atom) => atom.element))];
    this.colour = (element) => palette[elements.indexOf(element) % palette.length];
    this.meshes = {};
    this.canvases.forEach((canvas) => this.listen(canvas));
    figure.querySelectorAll("input[type=radio]").forEach((choice) => choice.addEventListener("change", () => {
      this.canvases.forEach((canvas) => (canvas.dataset.kind = choice.value));
      this.draw();
    }));
  }

  listen(canvas) {
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      this.rotate((event.clientX - last[0]) / 120, (event.clientY - last[1]) / 120);
      last = [event.clientX, event.clientY];
    });
    ["pointerup", "pointercancel"].forEach((end) => canvas.addEventListener(end, () => (last = null)));
    const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      this.rotate(...keys[event.key]);
    });
  }

  rotate(right, up) {
    this.turn = turned(this.turn, right, up);
    this.waiting ??= requestAnimationFrame(() => { this.waiting = null; this.draw(); });
  }

  draw() {
    this.cell ??= cellMesh(this.entry.lattice);
    this.canvases.forEach((canvas) => this.drawInto(canvas));
  }

  mesh(kind) {
    this.meshes[kind] ??= surfaceMesh(this.entry.surfaces[kind]);
    return this.meshes[kind];
  }

  drawInto(canvas) {
    const edge = Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2));
    if (!edge) return; // not laid out yet
    for (const surface of [sheet, canvas]) if (surface.width !== edge) surface.width = surface.height = edge;
    gl.viewport(0, 0, edge, edge);
    gl.depthMask(true);
    gl.clearColor(1, 1, 1, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniformMatrix3fv(program.uniforms.turn, false, [0, 1, 2].flatMap((j) => this.turn.map((row) => row[j])));
    gl.uniform3fv(program.uniforms.centre, this.centre);
    gl.uniform1f(program.uniforms.scale, this.scale);
    const kind = canvas.dataset.kind;
    gl.disable(gl.BLEND);
    drawMesh(this.cell, rgba("#55606c", 1), { lit: 0 });
    for (const atom of this.entry.atoms) {
      drawMesh(sphere, rgba(this.colour(atom.element), 1), { size: 0.28, offset: atom.at });
    }
    gl.enable(gl.BLEND);
    gl.enable(gl.CULL_FACE);
    gl.depthMask(false);
    for (const side of [gl.FRONT, gl.BACK]) {
      gl.cullFace(side);
      drawMesh(this.mesh(kind), rgba(surfaceColours[kind] ?? plainColour, 0.5));
    }
    gl.disable(gl.CULL_FACE);
    const pen = canvas.getContext("2d");
    pen.drawImage(sheet, 0, 0);
    this.label(pen, edge);
  }

  label(pen, edge) {
    pen.font = `italic ${Math.round(edge / 22)}px Georgia, serif`;
    pen.fillStyle = "#1f2933";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    ["a", "b", "c"].forEach((name, k) => {
      const corner = this.corner(1 << k);
      const beyond = 1 + 0.7 / Math.hypot(...corner);
      const at = corner.map((x, i) => (x * beyond - this.centre[i]) * this.scale);
      const [x, y] = this.turn.map((row) => row.reduce((sum, value, i) => sum + value * at[i], 0));
      pen.fillText(name, (edge * (1 + x)) / 2, (edge * (1 - y)) / 2);
    });
  }
}

const figures = [...document.querySelectorAll("[data-entry]")];
if (gl) {
  const materials = new Map(figures.map((figure) => [figure, new Material(gallery[figure.dataset.entry], figure)]));
  const seen = new IntersectionObserver((changes) => changes
    .filter((change) => change.isIntersecting)
    .forEach((change) => materials.get(change.target).draw()));
  figures.forEach((figure) => {
    seen.observe(figure);
    const material = materials.get(figure);
    figure.querySelectorAll("[data-element]").forEach((mark) => {
      mark.style.background = material.colour(mark.dataset.element);
    });
  });
  window.addEventListener("resize", () => materials.forEach((material) => material.cell && material.draw()));
} else {
  document.body.classList.add("no-webgl");
}
