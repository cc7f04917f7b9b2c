// A point cloud to turn with mouse, fingers or keys.

import {
  Color, OrbitControls, PerspectiveCamera, PLYLoader, Points, PointsMaterial, Scene, Vector3,
  WebGLRenderer,
} from "./libraries.js";

export class CloudView {
  constructor(place) {
    this.place = place;
    this.scene = new Scene();
    this.scene.background = new Color(0x0b0c10);
    this.camera = new PerspectiveCamera(55, 4 / 3, 0.01, 2000);
    this.renderer = new WebGLRenderer({ antialias: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    place.replaceChildren(this.renderer.domElement);
    this.controls = new OrbitControls(this.camera, this.renderer.domElement);
    this.controls.addEventListener("change", () => this.draw());
    this.renderer.domElement.tabIndex = 0;
    this.controls.listenToKeyEvents(this.renderer.domElement);
    new ResizeObserver(() => this.fit()).observe(place);
  }

  clear() {
    if (!this.points) return;
    this.scene.remove(this.points);
    this.points.geometry.dispose();
    this.points = null;
    this.draw();
  }

  // url: a PLY in the optical frame (x right, y down, z forward); returns how many points it has.
  async show(url, keepView) {
    const geometry = await new PLYLoader().loadAsync(url);
    this.clear();
    const material = new PointsMaterial({ size: 2, sizeAttenuation: false, vertexColors: true });
    this.points = new Points(geometry, material);
    this.points.rotation.x = Math.PI;  // from the optical frame to y up: the right side is up
    this.scene.add(this.points);
    if (!keepView) this.look(geometry);
    this.fit();
    return geometry.attributes.position.count;
  }

  // From a little above and beside of where the picture was taken.
  look(geometry) {
    const z = Array.from(geometry.attributes.position.array).filter((_, i) => i % 3 === 2);
    z.sort((a, b) => a - b);
    const middle = z[Math.floor(z.length / 2)] || 1;
    this.camera.position.set(0.35 * middle, 0.25 * middle, 0.35 * middle);
    this.controls.target.copy(new Vector3(0, 0, -middle));
    this.controls.update();
  }

  fit() {
    const { clientWidth, clientHeight } = this.place;
    if (!clientWidth || !clientHeight) return;
    this.renderer.setSize(clientWidth, clientHeight);
    this.camera.aspect = clientWidth / clientHeight;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() { this.renderer.render(this.scene, this.camera); }
}
