// What the pages use of the libraries named in package.json.
import "img-comparison-slider";
export {
  BufferGeometry,
  Color,
  PerspectiveCamera,
  Points,
  PointsMaterial,
  Scene,
  Vector3,
  WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { PLYLoader } from "three/addons/loaders/PLYLoader.js";
