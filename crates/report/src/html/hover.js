(()=>{"use strict";
// What a chart shows at one place, read from the table of its numbers: by pointer, or by arrow keys.
const said=document.createElement("p");said.className="said";said.setAttribute("role","status");
document.body.append(said);
for(const svg of document.querySelectorAll("svg[data-left]")){
const [left,right,top,bottom]=["left","right","top","bottom"].map(k=>+svg.dataset[k]);
const table=svg.closest("section").querySelector("details table")||document.querySelector("details.numbers table");
if(!table)continue;
const names=[...table.tHead.rows[0].cells].map(c=>c.textContent),rows=table.tBodies[0].rows,box=svg.parentNode;
const mark=svg.appendChild(document.createElementNS(svg.namespaceURI,"path"));mark.setAttribute("class","hover");
let at=-1;
const show=(i,x,y)=>{at=Math.max(0,Math.min(rows.length-1,i));
const place=left+(right-left)*(at+.5)/rows.length;mark.setAttribute("d",`M${place} ${top}V${bottom}`);
said.textContent=[...rows[at].cells].map((c,k)=>k?`${names[k]} ${c.textContent}`:c.textContent).join(" · ");
const r=svg.getBoundingClientRect(),w=said.offsetWidth;
x??=r.left+r.width*place/svg.viewBox.baseVal.width;y??=r.top+r.height*top/svg.viewBox.baseVal.height;
said.style.left=Math.max(4,Math.min(innerWidth-w-8,x+14))+"px";said.style.top=Math.max(4,y-said.offsetHeight-12)+"px";
said.classList.add("on")};
const hide=()=>{at=-1;mark.removeAttribute("d");said.classList.remove("on")};
svg.addEventListener("pointermove",e=>{const r=svg.getBoundingClientRect(),u=(e.clientX-r.left)*svg.viewBox.baseVal.width/r.width;
u<left||u>right?hide():show(Math.floor((u-left)/(right-left)*rows.length),e.clientX,e.clientY)});
svg.addEventListener("pointerleave",hide);
box.addEventListener("blur",hide);
box.addEventListener("keydown",e=>{const step={ArrowLeft:-1,ArrowRight:1}[e.key];
if(step){e.preventDefault();show(at<0?(step>0?0:rows.length-1):at+step)}else if(e.key==="Escape")hide()});
}})();